"""What a call reserves and is charged: the same in the limits as in its record, whatever its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import pytest

from deployments.audit.record import Outcome
from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from deployments.limits.amounts import Unit
from deployments.routing.policy import RouterPolicy
from deployments.state.projection import charged
from models.errors import (
    EngineError,
    ModelUnavailableError,
    QuotaExceededError,
)
from models.types import EmbeddingRequest, GenerationChunk, InferRequest, Usage
from tests.unit.deployments.live_models import CHUNKS
from tests.unit.deployments.office import LIMITS, NOW, ONE_PER_MINUTE, Office, keyring, make, office
from tests.unit.deployments.planes import GREEDY, a_call, eventually

__all__ = ["make", "office"]  # fixtures


async def test_an_answer_is_charged_with_what_it_used(office: Office) -> None:
    plane, call = await office.plane(), office.enter()
    office.replicas["m@1"].answer.set()
    await plane.embed("m", EmbeddingRequest(("hello",)), call)
    record = office.leave(call)
    assert (record.input_tokens, record.output_tokens) == (2, 0)
    assert record.cost_nano == 2 * 1000 + 1_000_000
    assert office.reserved(Unit.SLOTS) == office.reserved(Unit.TOKENS) == 0
    assert office.settled() == +charged([record])
    assert {charge.unit for charge in record.charges} == LIMITS.keys() - {"concurrent_requests"}


async def stream_whole(plane: DataPlane, call: Call, office: Office) -> None:
    async with aclosing(await plane.generate("m", GREEDY, call)) as stream:
        async for _ in stream:
            pass


async def leave_stream(plane: DataPlane, call: Call, office: Office) -> None:
    async with aclosing(await plane.generate("m", GREEDY, call)) as stream:
        await anext(aiter(stream))


async def break_stream(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].chunks = office.replicas["m@1"].chunks[:2]
    office.replicas["m@1"].breaks = EngineError("it broke")
    async with aclosing(await plane.generate("m", GREEDY, call)) as stream:
        with pytest.raises(EngineError):
            async for _ in stream:
                pass


async def fail(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].error = EngineError("it broke")
    with pytest.raises(EngineError):
        await plane.infer("m", InferRequest(()), call)


async def cancel(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].answer.clear()
    asked = asyncio.create_task(plane.infer("m", InferRequest(()), call))
    await office.replicas["m@1"].called.wait()
    asked.cancel()
    await asyncio.wait({asked})


async def retry(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].errors = [ModelUnavailableError("a replica died")]
    await plane.infer("m", InferRequest(()), call)


async def several(plane: DataPlane, call: Call, office: Office) -> None:
    for _ in range(3):
        await plane.embed("m", EmbeddingRequest(("hello",)), call)


async def at_once(plane: DataPlane, call: Call, office: Office) -> None:
    await asyncio.gather(*(stream_whole(plane, call, office) for _ in range(3)))


ENDINGS = {
    "whole": (stream_whole, True),
    "left": (leave_stream, True),
    "broken": (break_stream, True),
    "failed": (fail, False),
    "cancelled": (cancel, False),
    "retried": (retry, True),
    "several": (several, True),
    "at once": (at_once, True),
}


@pytest.mark.parametrize(("end", "counts"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_whatever_the_end_what_is_settled_is_what_the_record_charges(
    office: Office, end: Callable[[DataPlane, Call, Office], object], counts: bool
) -> None:
    first = replace(CHUNKS[0], num_tokens=1, num_prompt_tokens=3)
    office.replicas["m@1"].chunks = (first, GenerationChunk("two", num_tokens=1), CHUNKS[2])
    office.replicas["m@1"].answer.set()
    plane, call = await office.plane(), office.enter()
    await end(plane, call, office)  # type: ignore[misc]
    record = office.leave(call)
    assert office.settled() == +charged([record])
    assert {lease.reserved for lease in office.allowance._leases.values()} == {0}
    requests = [count for counter, count in office.settled().items() if counter.limit.unit is Unit.REQUESTS]
    assert requests == ([1] if counts else [])


async def test_a_hedged_call_is_one_request_whichever_answers(office: Office) -> None:
    plane = await office.plane({"routes": {"m": {"version": "1", "hedge": {"after_ms": 5}}}})
    call = office.enter()
    asked = asyncio.create_task(plane.infer("m", InferRequest(()), call))
    await eventually(lambda: office.replicas["m@1"].num_calls == 2)
    assert office.reserved(Unit.SLOTS) == 1
    office.replicas["m@1"].errors = [ModelUnavailableError("the first died")]
    office.replicas["m@1"].answer.set()
    await asked
    record = office.leave(call)
    assert office.settled() == +charged([record])
    assert 1 in office.settled().values()


async def test_a_slot_is_held_until_its_request_ends_or_is_cancelled(office: Office) -> None:
    plane = await office.plane()
    running = [asyncio.create_task(plane.infer("m", InferRequest(()), office.enter())) for _ in range(2)]
    await eventually(lambda: office.replicas["m@1"].num_calls == 2)
    assert office.reserved(Unit.SLOTS) == 2
    with pytest.raises(QuotaExceededError, match="concurrent_requests"):
        await plane.infer("m", InferRequest(()), office.enter())
    running[0].cancel()
    await asyncio.wait(running[:1])
    assert office.reserved(Unit.SLOTS) == 1
    office.replicas["m@1"].answer.set()
    await running[1]


async def test_a_call_holds_its_slot_until_the_last_of_its_requests_ends(office: Office) -> None:
    call = office.enter()
    async with AsyncExitStack() as later:
        async with office.books.reserve(call, "m", Usage(10)):
            await later.enter_async_context(office.books.reserve(call, "m", Usage(10)))
        assert (office.reserved(Unit.SLOTS), office.reserved(Unit.TOKENS)) == (1, 10)
    assert office.reserved(Unit.SLOTS) == office.reserved(Unit.TOKENS) == 0
    async with office.books.reserve(call, "m", Usage(10)):
        assert office.reserved(Unit.SLOTS) == 1


@pytest.mark.parametrize("has_limits", [True, False])
async def test_several_prompts_pay_the_price_of_a_request_once(
    make: Callable[..., Office], has_limits: bool
) -> None:
    price = {"input": "1", "request": "0.001"}
    office = make(known=keyring(**({} if has_limits else {"limits": {}})), models={"m": {"price": price}})
    call = office.enter()
    for answers in (False, True, True):
        async with office.books.reserve(call, "m", Usage(10)) as spending:
            if answers:
                spending.set(Usage(3))
    record = office.leave(call)
    assert record.cost_nano == 2 * 3 * 1000 + 1_000_000
    assert bool(record.charges) is has_limits
    assert office.settled() == +charged([record])


async def test_who_is_refused_hears_what_is_left_and_is_charged_nothing(make: Callable[..., Office]) -> None:
    office = make("off", **ONE_PER_MINUTE)
    plane = await office.plane()
    office.replicas["m@1"].answer.set()
    first, second = office.enter(None), office.enter(None)
    await plane.infer("m", InferRequest(()), first)
    with pytest.raises(QuotaExceededError) as refused:
        await plane.infer("m", InferRequest(()), second)
    assert refused.value.retry_after_s == pytest.approx(60 - NOW % 60)
    for call in (first, second):
        assert call.tally.rate_limits["x-ratelimit-limit-requests"] == "1"
        assert call.tally.rate_limits["x-ratelimit-remaining-requests"] == "0"
    assert office.leave(second, Outcome.REFUSED).charges == ()


async def test_a_retry_needs_no_second_request_of_the_limit(make: Callable[..., Office]) -> None:
    office = make("off", **ONE_PER_MINUTE)
    plane, call = await office.plane(), office.enter(None)
    office.replicas["m@1"].answer.set()
    await retry(plane, call, office)
    await plane.infer("m", InferRequest(()), call)  # one more of the same call
    assert office.leave(call).charges


async def test_new_limits_hold_for_what_comes_and_keep_what_was_used(make: Callable[..., Office]) -> None:
    office = make("off", **ONE_PER_MINUTE)
    plane = await office.plane()
    office.replicas["m@1"].answer.set()
    await plane.infer("m", InferRequest(()), office.enter(None))
    two = {"tenants": {"default": {"limits": {"requests_per_minute": 2}}}}
    office.books.set_policy(RouterPolicy.model_validate(two))
    await plane.infer("m", InferRequest(()), office.enter(None))
    with pytest.raises(QuotaExceededError):
        await plane.infer("m", InferRequest(()), office.enter(None))


async def test_without_limits_usage_and_cost_are_written_down(make: Callable[..., Office]) -> None:
    office = make("off", models={"m": {"price": {"input": "3"}}})
    call = office.enter(None)
    async with office.books.reserve(call, "m", Usage(100)) as spending:
        spending.set(Usage(7, 1))
    record = office.leave(call)
    assert (record.input_tokens, record.output_tokens, record.cost_nano) == (7, 1, 21_000)
    assert record.charges == ()
    assert a_call().tally.charges == set()
