from __future__ import annotations

import httpx

from deployments.api.app import build_app
from deployments.api.http.settings import ApiSettings
from deployments.dataplane.door import Condition, OpenDoor, Trouble
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import served


def test_the_process_is_alive(http: httpx.Client) -> None:
    response = http.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_one_broken_model_makes_the_server_not_ready_and_says_why(http: httpx.Client) -> None:
    response = http.get("/readyz")
    assert response.status_code == 503
    body = response.json()
    assert body["ready"] is False
    broken = {
        "model": "broken",
        "version": "1",
        "ready": False,
        "status": "failed",
        "reason": "its weights are damaged",
    }
    assert [model for model in body["models"] if not model["ready"]] == [broken]
    assert len(body["models"]) == 5


def test_ready_when_every_model_is() -> None:
    with served(build_app(FakeDataPlane(with_broken=False), ApiSettings())) as address:
        response = httpx.get(f"http://{address}/readyz")
    assert (response.status_code, response.json()["ready"]) == (200, True)


def test_the_books_are_part_of_the_picture() -> None:
    class AwayDoor(OpenDoor):
        def condition(self) -> Condition:
            return Condition(state=Trouble(1000.0, "connection refused"), uncounted_bytes=7)

    with served(build_app(FakeDataPlane(with_broken=False), ApiSettings(), AwayDoor())) as address:
        response = httpx.get(f"http://{address}/readyz")
    assert response.status_code == 200
    assert response.json()["books"] == {
        "state_database": {"since": 1000.0, "reason": "connection refused"},
        "audit_journal": None,
        "uncounted_bytes": 7,
        "unwritten_records": 0,
        "lost_records": 0,
    }
