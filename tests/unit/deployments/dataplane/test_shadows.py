"""Copies of requests: compared, written down, paid by nobody, and in nobody's way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from deployments.audit.record import Outcome
from deployments.dataplane.build import Patience
from deployments.dataplane.call import Call
from deployments.dataplane.door import Ending
from deployments.dataplane.streams import GenerationStream
from models.errors import EngineError, ModelUnavailableError
from models.types import (
    EmbeddingRequest,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    SamplingParams,
    Tensor,
)
from tests.unit.deployments.live_models import CHUNKS, state
from tests.unit.deployments.planes import GREEDY, Rig, a_call, eventually, make_rig

POLICY: dict[str, object] = {
    "routes": {"m": {"version": "1", "shadow": [{"target": "2", "share": 1}], "retries": {"min_delay_ms": 0}}}
}


async def shadowed() -> Rig:
    """m@1 answers, and m@2 gets a copy of each request; both answer."""
    rig = await make_rig("m@1", "m@2", policy=POLICY)
    rig.answer("m@1", "m@2")
    return rig


async def read(stream: GenerationStream) -> str:
    async with aclosing(stream):
        return "".join([chunk.text async for chunk in stream])


async def the_copy(rig: Rig) -> tuple[Call, Ending]:
    await eventually(lambda: bool(rig.diary.left))
    (left,) = rig.diary.left
    return left


async def test_a_copy_is_written_down_with_what_it_copies() -> None:
    rig = await shadowed()
    call = a_call()
    assert await read(await rig.plane.generate("m", GREEDY, call)) == "one two"
    copy, ending = await the_copy(rig)
    assert (copy.tally.shadow_of, copy.request_id, copy.tally.asked) == ("r", "r-shadow", "m")
    assert (str(call.tally.version), str(copy.tally.version)) == ("m@1", "m@2")
    assert (ending.outcome, ending.status, copy.tally.agrees) == (Outcome.OK, 200, True)
    assert (copy.tally.input_tokens, copy.tally.output_tokens) == (3, 2)


async def test_another_text_does_not_agree() -> None:
    rig = await shadowed()
    rig.replicas["m@2"].chunks = (GenerationChunk("one "), replace(CHUNKS[2], text="three"))
    await read(await rig.plane.generate("m", GREEDY, a_call()))
    copy, _ = await the_copy(rig)
    assert copy.tally.agrees is False


async def test_sampled_texts_are_not_compared() -> None:
    rig = await shadowed()
    sampled = GenerationRequest("r", "hello", SamplingParams(temperature=1))
    await read(await rig.plane.generate("m", sampled, a_call()))
    copy, ending = await the_copy(rig)
    assert (ending.outcome, copy.tally.agrees) == (Outcome.OK, None)


@pytest.mark.parametrize("operation", ["embed", "infer"])
async def test_numbers_are_compared(operation: str) -> None:
    rig = await shadowed()
    if operation == "embed":
        await rig.plane.embed("m", EmbeddingRequest(("hello",)), a_call())
    else:
        await rig.plane.infer("m", InferRequest((Tensor("a", "FP32", np.ones(2, np.float32)),)), a_call())
    copy, _ = await the_copy(rig)
    assert copy.tally.agrees is True


async def test_a_copy_uses_nothing_of_its_callers_limits() -> None:
    rig = await shadowed()
    await rig.plane.infer("m", InferRequest(()), a_call())
    copy, _ = await the_copy(rig)
    assert [reservation.call.request_id for reservation in rig.till.reservations] == ["r"]
    assert copy.tally.charges == set()


async def test_a_copy_that_does_not_answer_delays_nothing() -> None:
    rig = await make_rig("m@1", "m@2", policy=POLICY)
    rig.answer("m@1")
    async with asyncio.timeout(1):
        assert await read(await rig.plane.generate("m", GREEDY, a_call())) == "one two"
    await rig.replicas["m@2"].called.wait()
    assert rig.diary.left == []
    rig.answer("m@2")
    await the_copy(rig)


async def test_a_copy_waits_for_its_original_to_be_compared() -> None:
    rig = await make_rig("m@1", "m@2", policy=POLICY)
    rig.answer("m@2")
    asked = asyncio.create_task(rig.plane.infer("m", InferRequest(()), a_call()))
    await eventually(lambda: rig.replicas["m@2"].ended)
    assert rig.diary.left == []
    rig.answer("m@1")
    await asked
    copy, _ = await the_copy(rig)
    assert copy.tally.agrees is True


async def test_an_original_that_was_tried_twice_is_compared_by_its_answer() -> None:
    rig = await shadowed()
    rig.replicas["m@1"].errors = [ModelUnavailableError("a replica died")]
    await rig.plane.infer("m", InferRequest(()), a_call())
    copy, _ = await the_copy(rig)
    assert copy.tally.agrees is True


async def test_a_copy_that_fails_is_written_down_and_told_to_nobody() -> None:
    rig = await shadowed()
    rig.replicas["m@2"].error = EngineError("it broke")
    assert await read(await rig.plane.generate("m", GREEDY, a_call())) == "one two"
    copy, ending = await the_copy(rig)
    assert (ending.outcome, ending.status, copy.tally.agrees) == (Outcome.FAILED, 500, None)
    assert isinstance(ending.error, EngineError)


@pytest.mark.parametrize("num_read", [0, 1])
async def test_an_original_that_its_client_leaves_is_not_compared(num_read: int) -> None:
    rig = await shadowed()
    async with aclosing(await rig.plane.generate("m", GREEDY, a_call())) as stream:
        chunks = aiter(stream)
        for _ in range(num_read):
            await anext(chunks)
    copy, ending = await the_copy(rig)
    assert (ending.outcome, copy.tally.agrees) == (Outcome.OK, None)


async def test_an_original_that_fails_is_not_compared() -> None:
    rig = await shadowed()
    rig.replicas["m@1"].error = EngineError("it broke")
    with pytest.raises(EngineError):
        await rig.plane.generate("m", GREEDY, a_call())
    copy, ending = await the_copy(rig)
    assert (ending.outcome, copy.tally.agrees) == (Outcome.OK, None)


async def test_a_version_that_is_not_ready_gets_no_copy() -> None:
    rig = await shadowed()
    await rig.change(state("m@1"), state("m@2", "asleep"))
    await rig.plane.infer("m", InferRequest(()), a_call())
    assert not rig.replicas["m@2"].called.is_set()


async def test_there_are_only_so_many_copies_at_a_time() -> None:
    rig = await make_rig("m@1", "m@2", policy=POLICY, patience=Patience(max_shadows=3))
    rig.answer("m@1")
    for _ in range(10):
        await rig.plane.infer("m", InferRequest(()), a_call())
    await eventually(lambda: rig.replicas["m@2"].num_calls == 3)
    rig.answer("m@2")
    await eventually(lambda: len(rig.diary.left) == 3)
    await rig.plane.infer("m", InferRequest(()), a_call())
    await eventually(lambda: len(rig.diary.left) == 4)
    assert rig.replicas["m@2"].num_calls == 4  # the other 7 were not kept for later


async def test_a_share_of_the_requests_is_copied() -> None:
    rig = await make_rig("m@1", "m@2", patience=Patience(max_shadows=400))
    rig.set_policy({"routes": {"m": {"version": "1", "shadow": [{"target": "2", "share": 0.25}]}}})
    rig.answer("m@1", "m@2")
    for _ in range(400):
        await rig.plane.infer("m", InferRequest(()), a_call())
    await eventually(lambda: not rig.plane._dispatcher._shadows._running)
    assert 0.17 < rig.replicas["m@2"].num_calls / 400 < 0.33


async def test_copies_stay_behind_other_requests_and_end_in_time() -> None:
    rig = await make_rig("m@1", "m@2", policy=POLICY)
    rig.answer("m@1")
    await rig.plane.infer("m", InferRequest(()), a_call(0.3))
    copy, ending = await the_copy(rig)
    assert copy.priority == "batch"
    assert (ending.outcome, rig.replicas["m@2"].ended) == (Outcome.FAILED, True)
