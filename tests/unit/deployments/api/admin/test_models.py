"""What operators send over HTTP, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deployments.api.app import build_app
from deployments.dataplane.call import Call
from deployments.dataplane.door import Arrival, OpenDoor
from deployments.identity.caller import Caller
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served
from tests.unit.deployments.repository.fake import NOW, Rig

CALLER = Caller("sk-cal", "default")


class KeyedDoor(OpenDoor):
    """Everybody with a key is a mere caller."""

    def enter(self, arrival: Arrival) -> Call:
        call = super().enter(arrival)
        return Call.start(arrival.request_id, call.timeout_s, CALLER) if arrival.key else call


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.cluster.add("m@1")
    return made


@pytest.fixture
def http(rig: Rig) -> Iterator[httpx.Client]:
    app = build_app(FakeDataPlane(), SETTINGS, KeyedDoor(), rig.operators)
    with served(app) as address, httpx.Client(base_url=f"http://{address}", timeout=20) as client:
        yield client


def test_a_version_goes_in_and_out(http: httpx.Client, rig: Rig) -> None:
    loaded = http.post("/admin/models", json={"model": "m", "args": {"min_replicas": 0}})
    assert loaded.status_code == 200
    assert loaded.json() | {"application": None} == {
        "id": "m@2",
        "object": "model",
        "status": "ready",
        "ready": True,
        "reason": None,
        "replicas": 0,
        "planned_bytes": None,
        "pool": None,
        "run_time": {"loaded": {"by": "anonymous", "at": NOW}, "changed": None, "differences": []},
        "application": None,
    }
    assert loaded.json()["application"]["args"]["min_replicas"] == 0
    changed = http.patch("/admin/models/m@2", json={"max_replicas": 2}).json()
    assert changed["run_time"]["differences"] == ["max_replicas absent -> 2"]
    assert [each["id"] for each in http.get("/admin/models").json()["data"]] == ["m@1", "m@2"]
    gone = http.delete("/admin/models/m@2")
    assert gone.json() == {"id": "m@2", "object": "model", "deleted": True, "returns": False}


def test_force_is_a_flag(http: httpx.Client) -> None:
    assert http.delete("/admin/models/m", params={"force": "false"}).status_code == 409
    refused = http.delete("/admin/models/m", params={"force": "yes"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "force")
    assert http.delete("/admin/models/m", params={"force": "true"}).json()["returns"] is True


def test_who_does_not_wait_is_told_that_it_is_accepted(http: httpx.Client, rig: Rig) -> None:
    rig.cluster.becomes = "starting"
    reply = http.post("/admin/models", json={"model": "m", "version": "2", "wait": False})
    assert (reply.status_code, reply.json()["status"]) == (202, "starting")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "m", "version": "9"}, 404, "version_not_found"),
        ({"model": "m", "version": "1", "args": {"num_cpus": 3}}, 409, "conflict"),
        ({"model": "other"}, 409, "does_not_fit"),
        ({"name": "m"}, 400, None),
    ],
)
def test_refusals_have_the_words_of_openai(
    http: httpx.Client, rig: Rig, body: dict[str, object], status: int, code: str | None
) -> None:
    rig.cluster.room = 1
    reply = http.post("/admin/models", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_caller_s_key_opens_nothing(http: httpx.Client) -> None:
    keyed = {"Authorization": "Bearer sk-cal-secret"}
    for method, path in (("GET", ""), ("POST", ""), ("PATCH", "/m@1"), ("DELETE", "/m@1")):
        body = {"model": "m"} if method == "POST" else {}
        reply = http.request(method, f"/admin/models{path}", json=body, headers=keyed)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_permissions"), method


def test_it_is_not_there_without_a_repository() -> None:
    with served(build_app(FakeDataPlane(), SETTINGS)) as address:
        assert httpx.get(f"http://{address}/admin/models").status_code == 404
