"""Streams that have to wait before they begin: what the client hears meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from deployments.api.app import build_app
from deployments.dataplane.call import Call
from deployments.dataplane.streams import GenerationStream
from models.errors import ModelUnavailableError
from models.types import GenerationRequest
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "a b"}]}


class Sleeper(FakeDataPlane):
    """Its models sleep: it tells so twice, and then they are up, or will never be."""

    def __init__(self, comes_up: bool) -> None:
        super().__init__()
        self._comes_up = comes_up

    async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
        for seconds in (1, 2):
            call.tell(f"waiting for echo@2: starting ({seconds} s):\nits replica\r\nis loading")
            await asyncio.sleep(0.02)
        if not self._comes_up:
            raise ModelUnavailableError("model echo@2 has failed: its weights are damaged")
        return await super().generate(model, request, call)


@pytest.fixture(params=[True, False])
def comes_up(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def client(comes_up: bool) -> Iterator[httpx.Client]:
    with (
        served(build_app(Sleeper(comes_up), SETTINGS)) as address,
        httpx.Client(base_url=f"http://{address}", timeout=20) as client,
    ):
        yield client


def test_a_stream_that_waits_is_told_what_for(client: httpx.Client, comes_up: bool) -> None:
    reply = client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    told = [f": waiting for echo@2: starting ({seconds} s): its replica is loading" for seconds in (1, 2)]
    first, second, *events = reply.text.split("\n\n")
    assert (reply.status_code, [first, second]) == (200, told)
    if comes_up:
        assert events[-2] == "data: [DONE]"
    else:
        assert "its weights are damaged" in events[0]
        assert "data: [DONE]" not in events


def test_who_asks_for_the_whole_gets_the_status_alone(client: httpx.Client, comes_up: bool) -> None:
    reply = client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == (200 if comes_up else 503)
    assert "waiting" not in reply.text
