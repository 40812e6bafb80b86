from __future__ import annotations

import json

from cluster.live.dashboard import Dashboard
from cluster.live.readiness import (
    POLL_ID,
    Observation,
    Phase,
    ReadinessProbe,
    StartupReport,
    asks_for_keys,
)
from tests.unit.cluster.conftest import Answer, HttpServer
from tests.unit.serve_details import application, details

LOADING = {"model": "m", "version": "1", "ready": False, "status": "starting", "reason": None}
FAILED = {"model": "m", "version": "2", "ready": False, "status": "failed", "reason": "no weights"}


def probe(server: HttpServer) -> ReadinessProbe:
    return ReadinessProbe(f"{server.url}/readyz", "router")


def test_the_router_is_asked_first_and_is_itself_ready_when_it_answers(http_server: HttpServer) -> None:
    body = json.dumps({"ready": False, "models": [LOADING, FAILED]}).encode()
    http_server.answers["/readyz"] = Answer(503, body)
    assert probe(http_server)(None) == {
        "router": Observation(Phase.READY),
        "m@1": Observation(Phase.LOADING),
        "m@2": Observation(Phase.FAILED, "no weights"),
    }
    assert http_server.request_ids == [POLL_ID]


def test_of_a_router_that_shows_its_models_only_to_who_has_a_key_the_dashboard_tells_the_rest(
    http_server: HttpServer,
) -> None:
    http_server.answers["/readyz"] = Answer(200, json.dumps({"ready": True, "models": []}).encode())
    body = details(application("router", "RUNNING", ("RUNNING",)), application("m@1", "RUNNING", ("RUNNING",)))
    http_server.answers["/api/serve/applications/"] = Answer(200, body)
    assert probe(http_server)(Dashboard(http_server.url)) == {
        "router": Observation(Phase.READY),
        "m@1": Observation(Phase.READY),
    }
    assert probe(http_server)(None) == {"router": Observation(Phase.READY)}


def test_the_dashboard_tells_of_a_router_that_cannot_start(http_server: HttpServer) -> None:
    http_server.answers["/api/serve/applications/"] = Answer(
        200,
        details(
            application("router", "DEPLOY_FAILED", message="bad policy"),
            application("m@1", "RUNNING", ("RUNNING",)),
            application("m@2", "DEPLOYING", ("STARTING",), memory=1 << 30, node_id=None),
        ),
    )
    assert probe(http_server)(Dashboard(http_server.url)) == {
        "router": Observation(Phase.FAILED, "bad policy"),
        "m@1": Observation(Phase.READY),
        "m@2": Observation(Phase.WAITING, "it cannot be scheduled: it needs 0.1 CPUs and 1.0 GiB of memory"),
    }


def test_what_waits_for_resources_does_not_keep_the_rest_from_being_settled() -> None:
    report = StartupReport(["router", "m@1"])
    report.update({"m@1": Observation(Phase.WAITING, "it needs CPU 64")})
    assert not report.is_settled()
    report.update({"router": Observation(Phase.READY)})
    assert report.is_settled()
    assert report.named(Phase.WAITING) == ["m@1"]


def test_a_router_that_runs_is_not_ready_before_it_answers(http_server: HttpServer) -> None:
    running = details(application("router", "RUNNING", ("RUNNING",)), application("m@1", "RUNNING", ("RUNNING",)))
    http_server.answers["/api/serve/applications/"] = Answer(200, running)
    assert probe(http_server)(Dashboard(http_server.url)) == {"m@1": Observation(Phase.READY)}


def test_nothing_is_known_while_nobody_answers(closed_url: str) -> None:
    assert ReadinessProbe(f"{closed_url}/readyz", "router")(Dashboard(closed_url)) == {}


def test_the_report_prints_each_change_once_and_knows_when_all_is_settled() -> None:
    report = StartupReport(["router", "m@1"])
    loading = {"m@1": Observation(Phase.LOADING), "someone-else@1": Observation(Phase.READY)}
    assert report.update({}) == []
    assert report.update(loading) == ["m@1: loading"]
    assert report.update(loading) == []
    assert not report.is_settled()
    done = {
        "m@1": Observation(Phase.FAILED, "no weights"),
        "router": Observation(Phase.READY),
    }
    assert report.update(done) == ["router: ready", "m@1: failed: no weights"]
    assert report.is_settled()
    assert (report.named(Phase.READY), report.named(Phase.FAILED)) == (["router"], ["m@1"])


def test_a_router_that_refuses_who_has_no_key_asks_for_keys(http_server: HttpServer, closed_url: str) -> None:
    for status, asks in ((401, True), (200, False), (503, False)):
        http_server.answers["/v1/models"] = Answer(status, b"{}")
        assert asks_for_keys(http_server.url) is asks
    assert not asks_for_keys(closed_url)
