"""A request is made once more where that may help: not too often, not too late, never after its first token."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from deployments.routing.retry import MIN_BUDGET
from models.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelUnavailableError,
    OverloadedError,
    StowageError,
)
from tests.unit.deployments.dataplane.test_dispatch import DOWN, NO_RETRIES, QUICKLY, ask, outcomes
from tests.unit.deployments.live_models import CHUNKS
from tests.unit.deployments.planes import GREEDY, a_call, make_rig


async def test_a_call_that_failed_is_made_once_more() -> None:
    rig = await make_rig("m@1", policy={"routes": {"m": {"retries": QUICKLY}}})
    rig.answer("m@1")
    rig.replicas["m@1"].errors = [DOWN]
    call = a_call()
    assert await ask(rig, call) == "m@1"
    assert outcomes(call) == [("m@1", "model_unavailable"), ("m@1", "ok")]


@pytest.mark.parametrize(
    "error", [InvalidRequestError("temperature 9"), OverloadedError("full"), DeadlineExceededError("late")]
)
async def test_only_what_another_replica_may_answer_is_tried_again(error: StowageError) -> None:
    rig = await make_rig("m@1", policy={"routes": {"m": {"retries": QUICKLY}}})
    rig.answer("m@1")
    rig.replicas["m@1"].errors = [error]
    with pytest.raises(type(error)):
        await ask(rig, a_call())
    assert rig.replicas["m@1"].num_calls == 1


async def test_retries_end_with_their_number() -> None:
    rig = await make_rig("m@1", policy={"routes": {"m": {"retries": {**QUICKLY, "attempts": 3}}}})
    rig.answer("m@1")
    rig.replicas["m@1"].error = DOWN
    with pytest.raises(ModelUnavailableError):
        await ask(rig, a_call())
    assert rig.replicas["m@1"].num_calls == 3


async def test_when_all_fails_retries_are_a_share_of_the_requests() -> None:
    retries = {**QUICKLY, "attempts": 10, "budget": 0.1}
    rig = await make_rig("m@1", policy={"routes": {"m": {"retries": retries, "breaker": "off"}}})
    rig.answer("m@1")
    rig.replicas["m@1"].error = DOWN
    num_requests = 100
    for _ in range(num_requests):
        with pytest.raises(ModelUnavailableError):
            await ask(rig, a_call())
    assert rig.replicas["m@1"].num_calls - num_requests == MIN_BUDGET + 0.1 * num_requests


async def test_no_retry_begins_after_the_deadline() -> None:
    retries = {"min_delay_ms": 100_000, "max_delay_ms": 100_000}  # 13 s, by this chance
    rig = await make_rig("m@1", policy={"routes": {"m": {"retries": retries}}})
    rig.answer("m@1")
    rig.replicas["m@1"].error = DOWN
    began = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="a replica died"):
        await ask(rig, a_call(5))
    assert time.monotonic() - began < 4
    assert rig.replicas["m@1"].num_calls == 1


async def test_a_stream_that_breaks_after_its_first_token_is_not_begun_again() -> None:
    route = {"retries": QUICKLY, "fallbacks": {"unavailable": ["spare"]}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].chunks, rig.replicas["m@1"].breaks = CHUNKS[:1], DOWN
    stream = await rig.plane.generate("m", GREEDY, a_call())
    with pytest.raises(ModelUnavailableError, match="a replica died"):
        async for _ in stream:
            pass
    await stream.aclose()
    assert (rig.replicas["m@1"].num_calls, rig.replicas["spare@1"].num_calls) == (1, 0)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_breaker_opens_lets_probes_through_and_closes() -> None:
    clock = Clock()
    breaker = {"min_requests": 4, "open_s": 5, "probes": 2}
    route = {"retries": NO_RETRIES, "breaker": breaker}
    rig = await make_rig("m@1", policy={"routes": {"m": route}}, clock=clock)
    rig.answer("m@1")
    replica = rig.replicas["m@1"]
    replica.error = DOWN
    for _ in range(4):
        with pytest.raises(ModelUnavailableError, match="a replica died"):
            await ask(rig, a_call())
    with pytest.raises(ModelUnavailableError, match=r"failed too often and is left alone for 5\.0 s") as refused:
        await ask(rig, a_call())
    assert (replica.num_calls, refused.value.retry_after_s) == (4, 5)
    clock.now = 5.0
    replica.error = None
    for _ in range(3):
        assert await ask(rig, a_call()) == "m@1"
    replica.errors = [DOWN]
    with pytest.raises(ModelUnavailableError, match="a replica died"):  # one failure opens it no more
        await ask(rig, a_call())
    assert await ask(rig, a_call()) == "m@1"


async def test_while_a_breaker_is_open_the_other_versions_answer() -> None:
    route = {"targets": {"1": 1, "2": 1}, "retries": NO_RETRIES, "breaker": {"min_requests": 2}}
    rig = await make_rig("m@1", "m@2", policy={"routes": {"m": route}})
    rig.answer("m@1", "m@2")
    rig.replicas["m@1"].error = DOWN
    answers = []
    for _ in range(60):
        try:
            answers.append(await ask(rig, a_call()))
        except ModelUnavailableError:
            answers.append("failed")
    assert answers.count("failed") == rig.replicas["m@1"].num_calls <= 4
    assert set(answers[30:]) == {"m@2"}


async def test_cancelling_a_call_between_two_tries_ends_it() -> None:
    retries = {"attempts": 10, "min_delay_ms": 10_000, "max_delay_ms": 10_000}
    rig = await make_rig("m@1", policy={"routes": {"m": {"retries": retries}}})
    rig.answer("m@1")
    rig.replicas["m@1"].error = DOWN
    asked = asyncio.create_task(ask(rig, a_call()))
    await rig.replicas["m@1"].called.wait()
    await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    (reservation,) = rig.till.reservations
    assert reservation.settled is not None
    assert not reservation.answered
