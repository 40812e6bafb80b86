"""A version that does not answer in time is known for it, whichever of a call's time limits ends first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine

import pytest
import uvloop

from deployments.api.http.generation import Order, collect
from deployments.dataplane.call import Call
from models.errors import DeadlineExceededError, ModelUnavailableError
from models.types import GenerationChunk, GenerationRequest, SamplingParams
from tests.unit.deployments.live_models import CHUNKS, Replica
from tests.unit.deployments.planes import GREEDY, Rig, a_call, eventually, make_rig

BREAKER = {"min_requests": 1, "slow_s": 0.001}
ORDER = Order("m", ("hello",), SamplingParams(max_tokens=8, temperature=0))

Loop = Callable[[], asyncio.AbstractEventLoop]
each_loop = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Stalling(Replica):
    """Gives one chunk and then no more until it is let go."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        try:
            yield CHUNKS[0]
            await asyncio.Event().wait()
        finally:
            self.ended = True


def run(new_loop: Loop, test: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(test())


def outcomes(call: Call) -> list[str]:
    return [attempt.outcome for attempt in call.tally.attempts]


async def stalling(deadline_s: float) -> Rig:
    rig = await make_rig("m@1", policy={"routes": {"m": {"deadline_s": deadline_s}}})
    rig.replicas._by_version["m@1"] = Stalling()
    return rig


@each_loop
def test_a_generation_that_hangs_counts_although_its_protocol_stops_at_the_same_moment(new_loop: Loop) -> None:
    async def test() -> None:
        rig = await make_rig("m@1", policy={"routes": {"m": {"breaker": BREAKER}}})
        for deadline_s in (0.02, 0.0203, 0.0217):
            call = a_call(deadline_s)
            with pytest.raises(DeadlineExceededError):
                await collect(rig.plane, ORDER, call)
            assert outcomes(call) == ["deadline_exceeded"]
            with pytest.raises(ModelUnavailableError, match="m@1 failed too often"):
                await collect(rig.plane, ORDER, a_call())
            rig.traffic._breakers._breakers.clear()

    run(new_loop, test)


@each_loop
def test_a_copy_that_hangs_counts_too(new_loop: Loop) -> None:
    async def test() -> None:
        route = {"version": "1", "shadow": [{"target": "2", "share": 1}]}
        rig = await make_rig("m@1", "m@2", policy={"routes": {"m": route}})
        rig.answer("m@1")
        await collect(rig.plane, ORDER, a_call(0.05))
        await eventually(lambda: bool(rig.diary.left))
        copy, ending = rig.diary.left[0]
        assert outcomes(copy) == ["deadline_exceeded"]
        assert isinstance(ending.error, DeadlineExceededError)

    run(new_loop, test)


async def test_the_deadline_of_a_route_holds_for_all_of_a_stream() -> None:
    rig = await stalling(deadline_s=0.05)
    call = a_call()
    stream = await rig.plane.generate("m", GREEDY, call)
    chunks = aiter(stream)
    assert await anext(chunks) == CHUNKS[0]
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceededError, match=r"time limit of 0\.05 s"):
            await anext(chunks)
    await stream.aclose()
    assert rig.replicas["m@1"].ended
    assert rig.till.reservations[0].settled is not None


async def test_the_deadline_of_a_route_does_not_cut_what_is_done_with_a_chunk() -> None:
    rig = await stalling(deadline_s=0.02)
    stream = await rig.plane.generate("m", GREEDY, a_call())
    chunks = aiter(stream)
    await anext(chunks)
    await asyncio.sleep(0.03)
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceededError):
            await anext(chunks)
    await stream.aclose()


async def test_a_stream_within_the_deadline_of_its_route_is_whole() -> None:
    rig = await make_rig("m@1", policy={"routes": {"m": {"deadline_s": 10}}})
    rig.answer("m@1")
    stream = await rig.plane.generate("m", GREEDY, a_call())
    assert tuple([chunk async for chunk in stream]) == CHUNKS
    await stream.aclose()
