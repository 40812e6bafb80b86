"""A second request for a slow answer: the first that answers counts, and of the other nothing is left."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from deployments.dataplane.hedge import first_answer
from deployments.dataplane.streams import GenerationStream
from deployments.routing.states import ModelState
from models.errors import EngineError, ModelUnavailableError
from models.types import InferRequest, VersionId
from tests.unit.deployments.live_models import Replica, state
from tests.unit.deployments.planes import GREEDY, Rig, a_call, eventually, make_rig

ONE, TWO = state("m@1"), state("m@2")


class Once:
    """One request: answers when it is told to, or fails; ``ended`` once it has let go."""

    def __init__(self, answer: ModelState) -> None:
        self._answer = answer
        self.go, self.ended, self.began = asyncio.Event(), False, False
        self.error: Exception | None = None

    async def __call__(self) -> tuple[ModelState, str]:
        self.began = True
        try:
            await self.go.wait()
        finally:
            self.ended = True
        if self.error is not None:
            raise self.error
        return self._answer, "hello"


@pytest.fixture
def first() -> Once:
    return Once(ONE)


@pytest.fixture
def second() -> Once:
    return Once(TWO)


async def test_an_answer_in_time_needs_no_second_request(first: Once, second: Once) -> None:
    first.go.set()
    assert await first_answer(first(), second, 5) == (ONE, "hello")
    assert not second.began


async def test_an_early_error_is_no_reason_for_a_second_request(first: Once, second: Once) -> None:
    first.error = EngineError("it broke")
    first.go.set()
    with pytest.raises(EngineError, match="it broke"):
        await first_answer(first(), second, 5)
    assert not second.began


@pytest.mark.parametrize("winner", [0, 1])
async def test_whichever_answers_sooner_counts_and_the_other_is_cancelled(
    first: Once, second: Once, winner: int
) -> None:
    both = (first, second)
    answer = asyncio.create_task(first_answer(first(), second, 0.001))
    await eventually(lambda: second.began)
    both[winner].go.set()
    assert await answer == ((ONE, TWO)[winner], "hello")
    assert first.ended
    assert second.ended


@pytest.mark.parametrize("failing", [0, 1])
async def test_one_error_is_forgotten_while_there_is_another_answer(
    first: Once, second: Once, failing: int
) -> None:
    both = (first, second)
    answer = asyncio.create_task(first_answer(first(), second, 0.001))
    await eventually(lambda: second.began)
    both[failing].error = EngineError("it broke")
    both[failing].go.set()
    await asyncio.sleep(0.005)
    assert not answer.done()
    both[1 - failing].go.set()
    assert (await answer)[0] == (ONE, TWO)[1 - failing]


async def test_of_two_errors_the_first_requests_stands(first: Once, second: Once) -> None:
    first.error, second.error = EngineError("the first"), EngineError("the second")
    answer = asyncio.create_task(first_answer(first(), second, 0.001))
    await eventually(lambda: second.began)
    second.go.set()
    await asyncio.sleep(0.005)
    first.go.set()
    with pytest.raises(EngineError, match="the first"):
        await answer


async def test_who_goes_away_leaves_no_request_behind(first: Once, second: Once) -> None:
    answer = asyncio.create_task(first_answer(first(), second, 0.001))
    await eventually(lambda: second.began)
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert first.ended
    assert second.ended


async def test_a_stream_that_answers_at_the_same_moment_is_closed() -> None:
    go, released = asyncio.Event(), list[str]()

    async def answer(which: ModelState) -> tuple[ModelState, GenerationStream]:
        await go.wait()
        held = AsyncExitStack()
        held.callback(released.append, str(which.id))
        return which, GenerationStream(which.id, Replica().generate(GREEDY), held=held)

    asked = asyncio.create_task(first_answer(answer(ONE), lambda: answer(TWO), 0.001))
    await asyncio.sleep(0.02)
    go.set()
    state_of_first, stream = await asked
    assert (state_of_first, released) == (ONE, ["m@2"])
    await stream.aclose()
    assert released == ["m@2", "m@1"]


async def hedged() -> tuple[Rig, asyncio.Task[tuple[VersionId, object]]]:
    """A call that m@1 does not answer, and whose hedge is with m@2, where requests go by now."""
    rig = await make_rig("m@1", "m@2", policy={"routes": {"m": {"hedge": {"after_ms": 200}}}})
    rig.traffic.rollouts = {"m": {ONE.id: 100}}
    asked = asyncio.create_task(rig.plane.infer("m", InferRequest(()), a_call()))
    await rig.replicas["m@1"].called.wait()
    rig.traffic.rollouts = {"m": {TWO.id: 100}}
    await rig.replicas["m@2"].called.wait()
    return rig, asked


async def test_the_loser_is_cancelled_in_its_replica_and_uses_nothing() -> None:
    rig, asked = await hedged()
    rig.answer("m@2")
    assert (await asked)[0] == TWO.id
    assert rig.replicas["m@1"].ended
    assert [(each.answered, each.settled is None) for each in rig.till.reservations] == [
        (False, False),
        (True, False),
    ]


async def test_the_first_may_win_after_all() -> None:
    rig, asked = await hedged()
    rig.answer("m@1")
    assert (await asked)[0] == ONE.id
    assert rig.replicas["m@2"].ended


async def test_a_route_without_a_hedge_asks_once() -> None:
    rig = await make_rig("m@1")
    asked = asyncio.create_task(rig.plane.infer("m", InferRequest(()), a_call()))
    await rig.replicas["m@1"].called.wait()
    await asyncio.sleep(0.02)
    rig.answer("m@1")
    await asked
    assert rig.replicas["m@1"].num_calls == 1


async def test_the_answer_of_the_second_is_kept_too() -> None:
    rig = await make_rig("m@1", policy={"routes": {"m": {"hedge": {"after_ms": 5}, "log_text": True}}})
    call = a_call()
    asked = asyncio.create_task(rig.plane.generate("m", GREEDY, call))
    await eventually(lambda: rig.replicas["m@1"].num_calls == 2)
    rig.replicas["m@1"].errors = [ModelUnavailableError("it died")]
    rig.answer("m@1")
    async with aclosing(await asked) as stream:
        async for _ in stream:
            pass
    assert call.tally.texts == [("hello", "one two")]


async def test_a_hedge_is_a_request_of_its_own_to_the_breaker_and_not_to_the_caller() -> None:
    rig = await make_rig("m@1", policy={"routes": {"m": {"hedge": {"after_ms": 5}}}})
    call = a_call()
    asked = asyncio.create_task(rig.plane.infer("m", InferRequest(()), call))
    await eventually(lambda: rig.replicas["m@1"].num_calls == 2)
    rig.replicas["m@1"].errors = [ModelUnavailableError("it died")]
    rig.answer("m@1")
    await asked
    assert sorted(attempt.outcome for attempt in call.tally.attempts) == ["model_unavailable", "ok"]
