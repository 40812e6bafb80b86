"""The door of the HTTP interface: keys, public paths, and one ending for each call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Message

from deployments.api.app import build_app
from deployments.audit.record import Outcome
from deployments.dataplane.call import Call
from deployments.dataplane.door import Arrival, Ending, OpenDoor
from deployments.identity.caller import Caller
from models.errors import AuthenticationError, InvalidRequestError, QuotaExceededError
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served, wait_until

KEY = "sk-stow-right"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "a b c"}]}


class OneKey(OpenDoor):
    """A door with one key, and everything that was told to it."""

    def __init__(self) -> None:
        self.endings: list[tuple[Arrival | Call, Ending]] = []

    def enter(self, arrival: Arrival) -> Call:
        if arrival.key != KEY:
            raise AuthenticationError("invalid API key")
        call = Call.start(arrival.request_id, arrival.timeout_s, Caller("right", "acme", models=("echo",)))
        call.tally.rate_limits = {"x-ratelimit-remaining-requests": "7"}
        if arrival.attributes.get("x-spent"):
            raise QuotaExceededError("nothing left today", retry_after_s=0.25)
        return call

    def reject(self, arrival: Arrival, ending: Ending) -> None:
        self.endings.append((arrival, ending))

    def leave(self, call: Call, ending: Ending) -> None:
        self.endings.append((call, ending))

    def wait_for(self, count: int) -> list[Ending]:
        """A client may have its answer a moment before the call is closed."""
        wait_until(lambda: len(self.endings) >= count)
        assert len(self.endings) == count
        return [ending for _, ending in self.endings]


@pytest.fixture
def door() -> OneKey:
    return OneKey()


@pytest.fixture
def client(door: OneKey) -> Iterator[httpx.Client]:
    with served(build_app(FakeDataPlane(), SETTINGS, door)) as address:
        yield_client = httpx.Client(base_url=f"http://{address}", timeout=20)
        with yield_client:
            yield yield_client


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}])
def test_a_key_comes_in_either_header(client: httpx.Client, door: OneKey, headers: dict[str, str]) -> None:
    reply = client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert (reply.status_code, reply.headers["x-ratelimit-remaining-requests"]) == (200, "7")
    (ending,) = door.wait_for(1)
    assert (ending.outcome, ending.status, ending.streamed) == (Outcome.OK, 200, False)


@pytest.mark.parametrize("key", [None, "sk-stow-wrong", KEY + " x"])
def test_without_the_key_nobody_comes_in(client: httpx.Client, door: OneKey, key: str | None) -> None:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    reply = client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert reply.status_code == 401
    assert reply.json()["error"]["message"] == "invalid API key"
    (ending,) = door.wait_for(1)
    assert (ending.outcome, ending.status) == (Outcome.REFUSED, 401)
    assert isinstance(ending.error, AuthenticationError)
    assert not key or key not in repr(door.endings)


def test_a_stream_ends_once_with_its_outcome(client: httpx.Client, door: OneKey) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    client.post("/v1/chat/completions", json={**CHAT, "stream": True}, headers=headers)
    broken = {**CHAT, "stream": True, "messages": [{"role": "user", "content": "a break"}]}
    client.post("/v1/chat/completions", json=broken, headers=headers)
    assert [(ending.outcome, ending.streamed) for ending in door.wait_for(2)] == [
        (Outcome.OK, True),
        (Outcome.FAILED, True),
    ]


def test_a_client_that_leaves_gave_up(client: httpx.Client, door: OneKey) -> None:
    endless = {**CHAT, "stream": True, "messages": [{"role": "user", "content": "forever"}]}
    with client.stream("POST", "/v1/chat/completions", json=endless, headers={"x-api-key": KEY}) as reply:
        next(reply.iter_raw())
    assert [ending.outcome for ending in door.wait_for(1)] == [Outcome.CANCELLED]


def test_mistakes_are_refusals_and_faults_are_failures(client: httpx.Client, door: OneKey) -> None:
    headers = {"x-api-key": KEY}
    client.post("/v1/chat/completions", json={"model": "echo"}, headers=headers)
    client.get("/v1/nowhere", headers=headers)
    client.post("/v1/chat/completions", json=CHAT, headers={**headers, "x-request-timeout": "-1"})
    client.post(
        "/v1/chat/completions",
        json={**CHAT, "messages": [{"role": "user", "content": "crash"}]},
        headers=headers,
    )
    endings = sorted(door.wait_for(4), key=lambda ending: (ending.status, str(ending.error)))
    assert [(ending.status, ending.outcome) for ending in endings] == [
        (400, Outcome.REFUSED),
        (400, Outcome.REFUSED),
        (404, Outcome.REFUSED),
        (500, Outcome.FAILED),
    ]
    assert {type(ending.error) for ending in endings[:2]} == {InvalidRequestError}


def test_probes_need_no_key_and_are_not_written_down(client: httpx.Client, door: OneKey) -> None:
    assert client.get("/healthz").status_code == 200
    anonymous = client.get("/readyz")
    assert (anonymous.status_code, anonymous.json()["ready"], anonymous.json()["models"]) == (503, False, [])
    known = client.get("/readyz", headers={"x-api-key": KEY}).json()
    assert {model["model"] for model in known["models"]} == {"echo"}
    assert client.get("/v2/health/ready").status_code == 503
    assert door.endings == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_is_in_the_books_before_its_last_byte_is_sent(door: OneKey, stream: bool) -> None:
    """Whatever dies then, what a client has been given is counted."""
    requests = [{"type": "http.request", "body": json.dumps({**CHAT, "stream": stream}).encode()}]
    sent: list[tuple[bool, int]] = []

    async def receive() -> Message:
        if not requests:
            await asyncio.sleep(60)
        return requests.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.append((message.get("more_body", False), len(door.endings)))

    headers = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json")]
    path = "/v1/chat/completions"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await build_app(FakeDataPlane(), SETTINGS, door)(scope, receive, send)
    assert sent[-1] == (False, 1)
    assert all(more and not num_left for more, num_left in sent[:-1])
    assert len(door.endings) == 1
