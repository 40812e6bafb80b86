from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.live.dashboard import Dashboard, LiveApplication, read_token
from deployments.routing.cards import dump_card
from models.errors import ConfigError, StowageError
from models.types import ModelCard, Task, VersionId
from tests.unit.cluster.conftest import Answer, HttpServer
from tests.unit.serve_details import application, details

PATH = "/api/serve/applications/"


def test_applications_have_the_states_and_reasons_of_readyz(http_server: HttpServer) -> None:
    http_server.answers[PATH] = Answer(
        200,
        details(
            application("m@1", "RUNNING", ("RUNNING", "STARTING"), memory=1024),
            application("bad@1", "DEPLOY_FAILED", message="Traceback:\nmodels.errors.StoreError: no weights\n"),
            application("big@1", "DEPLOYING", ("STARTING",), memory=1 << 40, node_id=None),
            application("router", "RUNNING", ("RUNNING",)),
        ),
    )
    assert Dashboard(http_server.url + "/").applications() == [
        LiveApplication("bad@1", "failed", 0, 2, reason="no weights"),
        LiveApplication(
            "big@1",
            "waiting",
            0,
            2,
            reason="it cannot be scheduled: it needs 0.1 CPUs and 1024.0 GiB of memory",
            planned_bytes=1 << 40,
        ),
        LiveApplication("m@1", "ready", 1, 2, planned_bytes=1024, replicas=("r0",)),
        LiveApplication("router", "ready", 1, 2, replicas=("r0",)),
    ]
    assert http_server.authorization == [None]


def test_the_plan_on_a_card_goes_before_the_memory_that_is_booked(http_server: HttpServer) -> None:
    card = ModelCard(VersionId("m", "1"), Task.EMBED, "onnx", created_unix_s=0, planned_bytes=2048)
    app = application("m@1", "RUNNING", ("RUNNING",), memory=1024, user_config=dump_card(card))
    http_server.answers[PATH] = Answer(200, details(app))
    assert Dashboard(http_server.url).applications()[0].planned_bytes == 2048


def test_the_addresses_of_metrics_are_those_of_all_groups(http_server: HttpServer) -> None:
    groups = [{"labels": {"job": "ray"}, "targets": ["b:2", "a:1"]}, {"targets": ["a:1"]}]
    http_server.answers["/api/prometheus/sd"] = Answer(200, json.dumps(groups).encode())
    assert Dashboard(http_server.url, "secret").metrics_addresses() == ["a:1", "b:2"]
    assert http_server.authorization == ["Bearer secret"]


def test_the_token_is_sent_as_bearer(http_server: HttpServer) -> None:
    http_server.answers[PATH] = Answer(200, details())
    assert Dashboard(http_server.url, "secret").applications() == []
    assert http_server.authorization == ["Bearer secret"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_says_where_to_put_one(http_server: HttpServer, status: int) -> None:
    http_server.answers[PATH] = Answer(status, b"Unauthorized")
    with pytest.raises(StowageError, match="RAY_AUTH_TOKEN_PATH"):
        Dashboard(http_server.url).applications()


@pytest.mark.parametrize("answer", [Answer(200, b"<html>"), Answer(200, b"{}"), Answer(500, b"broken")])
def test_a_reply_that_is_no_dashboard_s_is_explained(http_server: HttpServer, answer: Answer) -> None:
    http_server.answers[PATH] = answer
    with pytest.raises(StowageError, match=http_server.url):
        Dashboard(http_server.url).applications()


def test_an_unreachable_dashboard_is_named(closed_url: str) -> None:
    with pytest.raises(StowageError, match=f"no Ray dashboard answers at {closed_url}"):
        Dashboard(closed_url).applications()


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://host:1", "http://", ""])
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="http://"):
        Dashboard(address)


def test_the_token_is_found_in_ray_s_order(tmp_path: Path) -> None:
    assert read_token({}, tmp_path) is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("default\n")
    given = tmp_path / "given"
    given.write_text("given")
    assert read_token({}, tmp_path) == "default"
    assert read_token({"RAY_AUTH_TOKEN_PATH": str(given)}, tmp_path) == "given"
    assert read_token({"RAY_AUTH_TOKEN": "env", "RAY_AUTH_TOKEN_PATH": str(given)}, tmp_path) == "env"
    assert read_token({"RAY_AUTH_TOKEN": "env", "RAY_AUTH_MODE": "disabled"}, tmp_path) is None


def test_a_token_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        read_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "absent")}, tmp_path)
