from __future__ import annotations

import json

from cluster.dashboard import Dashboard
from cluster.readiness import Observation, Phase, ReadinessProbe, StartupReport, summary
from tests.unit.cluster.conftest import Answer, HttpServer
from tests.unit.cluster.serve_details import application, details

LOADING = {"model": "m", "version": "1", "ready": False, "status": "DEPLOYING", "reason": None}
FAILED = {"model": "m", "version": "2", "ready": False, "status": "DEPLOY_FAILED", "reason": "no weights"}


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


def test_the_dashboard_tells_of_a_router_that_cannot_start(http_server: HttpServer) -> None:
    http_server.answers["/api/serve/applications/"] = Answer(
        200,
        details(
            application("router", "DEPLOY_FAILED", message="bad policy"),
            application("m@1", "RUNNING", ("RUNNING",)),
        ),
    )
    assert probe(http_server)(Dashboard(http_server.url)) == {
        "router": Observation(Phase.FAILED, "bad policy"),
        "m@1": Observation(Phase.READY),
    }


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
        "m@1": Observation(Phase.FAILED, "Traceback\n  at x\nStoreError: no weights\n"),
        "router": Observation(Phase.READY),
    }
    assert report.update(done) == ["router: ready", "m@1: failed: StoreError: no weights"]
    assert report.is_settled()
    assert (report.named(Phase.READY), report.named(Phase.FAILED)) == (["router"], ["m@1"])


def test_summary_is_the_end_of_a_traceback() -> None:
    assert summary("Deploying failed:\nTraceback:\n  File\nValueError: x\n\n") == "ValueError: x"
    assert summary(None) == ""
