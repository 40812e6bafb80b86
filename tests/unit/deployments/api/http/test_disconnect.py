"""Every way in which nobody waits any more: the work must stop."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from starlette.types import Message

from deployments.api.app import build_app
from tests.unit.deployments.api.asgi import post_scope
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, wait_until

pytestmark = pytest.mark.timeout(30)

CHAT = "/v1/chat/completions"
GENERATE = "/v2/models/echo/generate"
GENERATE_STREAM = "/v2/models/echo/generate_stream"


def body(path: str, content: str, **options: object) -> dict[str, object]:
    if path == CHAT:
        return {"model": "echo", "messages": [{"role": "user", "content": content}], **options}
    return {"text_input": content}


WHOLE = [(CHAT, "forever"), (CHAT, "silent"), (GENERATE, "forever"), (GENERATE, "silent")]


@pytest.mark.parametrize(("path", "content"), WHOLE)
def test_a_client_that_gives_up_waiting(
    http: httpx.Client, dataplane: FakeDataPlane, path: str, content: str
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post(path, json=body(path, content), timeout=0.2)
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)


@pytest.mark.parametrize("path", [CHAT, GENERATE_STREAM])
def test_a_client_that_leaves_a_stream(http: httpx.Client, dataplane: FakeDataPlane, path: str) -> None:
    with http.stream("POST", path, json=body(path, "forever", stream=True)) as response:
        chunks = response.iter_raw()
        next(chunks)
        assert dataplane.num_active == 1
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)


def test_a_stream_that_has_not_begun(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post(GENERATE_STREAM, json={"text_input": "silent"}, timeout=0.2)
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)


@pytest.mark.parametrize("last", ["forever", "silent"])
def test_several_prompts_stop_together(http: httpx.Client, dataplane: FakeDataPlane, last: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/completions", json={"model": "echo", "prompt": ["forever", last]}, timeout=0.2)
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)


@pytest.mark.parametrize(("path", "content"), WHOLE)
def test_the_deadline_of_a_whole_answer(
    http: httpx.Client, dataplane: FakeDataPlane, path: str, content: str
) -> None:
    started = time.monotonic()
    response = http.post(path, json=body(path, content), headers={"x-request-timeout": "0.2"})
    assert response.status_code == 504
    assert time.monotonic() - started < 2
    assert dataplane.num_active == 0


def test_the_deadline_covers_the_whole_stream(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    request = body(CHAT, "forever", stream=True)
    response = http.post(CHAT, json=request, headers={"x-request-timeout": "0.3"})
    assert response.status_code == 200
    *_, last, rest = response.text.split("\n\n")
    assert rest == ""
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["code"], "0.3 s passed" in error["message"]) == ("deadline_exceeded", True)
    assert dataplane.num_active == 0


class Connection:
    """The server's side of one request, in this event loop."""

    def __init__(self, path: str, content: dict[str, object], whole: bool = True) -> None:
        self.scope = post_scope(path)
        self.sent: list[Message] = []
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._incoming.put_nowait(
            {"type": "http.request", "body": json.dumps(content).encode(), "more_body": not whole}
        )

    async def receive(self) -> Message:
        return await self._incoming.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def disconnect(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})


async def until_active(dataplane: FakeDataPlane) -> None:
    for _ in range(100):
        await asyncio.sleep(0)
    assert dataplane.num_active == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", ["forever", "silent"])
async def test_cancelling_the_servers_task(stream: bool, content: str) -> None:
    dataplane = FakeDataPlane()
    connection = Connection(CHAT, body(CHAT, content, stream=stream))
    task = asyncio.create_task(
        build_app(dataplane, SETTINGS)(connection.scope, connection.receive, connection.send)
    )
    await until_active(dataplane)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dataplane.num_active == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_disconnect_message_ends_the_work_within_one_step(stream: bool) -> None:
    dataplane = FakeDataPlane()
    connection = Connection(CHAT, body(CHAT, "forever", stream=stream))
    task = asyncio.create_task(
        build_app(dataplane, SETTINGS)(connection.scope, connection.receive, connection.send)
    )
    await until_active(dataplane)
    connection.disconnect()
    await asyncio.wait_for(task, 0.5)
    assert dataplane.num_active == 0
    assert not any(message.get("more_body") is False for message in connection.sent)


async def test_a_client_that_leaves_inside_its_own_body_starts_nothing() -> None:
    dataplane = FakeDataPlane()
    connection = Connection(CHAT, body(CHAT, "hello"), whole=False)
    connection.disconnect()
    await build_app(dataplane, SETTINGS)(connection.scope, connection.receive, connection.send)
    assert dataplane.generations == []
    assert connection.sent == []


async def test_cancelling_at_every_step_leaves_nothing_running() -> None:
    dataplane = FakeDataPlane()
    app = build_app(dataplane, SETTINGS)
    for num_steps in range(40):
        connection = Connection(
            "/v1/completions", {"model": "echo", "prompt": ["a b c", "forever"], "stream": True}
        )
        task = asyncio.create_task(app(connection.scope, connection.receive, connection.send))
        for _ in range(num_steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert dataplane.num_active == 0, f"something runs on after a cancellation at step {num_steps}"
