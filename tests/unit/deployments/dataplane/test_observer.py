"""What the data plane decides and streams is told to who watches."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from deployments.dataplane.build import Patience
from deployments.dataplane.call import Call, Reason
from deployments.dataplane.gate import LaneView
from deployments.dataplane.operations import Queue
from deployments.dataplane.streams import GenerationStream
from models.errors import ModelUnavailableError
from models.types import VersionId
from tests.unit.deployments.planes import GREEDY, Rig, a_call, eventually, make_rig

DEAD = ModelUnavailableError("its replica died")
M1, M2 = VersionId("m", "1"), VersionId("m", "2")


def policy(**route: object) -> dict[str, object]:
    return {"routes": {"m": {"version": "1", "retries": {"min_delay_ms": 0}, **route}}}


async def read(stream: GenerationStream) -> None:
    async with aclosing(stream):
        async for _ in stream:
            pass


async def ask(rig: Rig, model: str = "m") -> Call:
    call = a_call()
    await read(await rig.plane.generate(model, GREEDY, call))
    return call


def decisions(call: Call) -> list[tuple[str, str]]:
    return [(str(version), reason) for version, reason in call.tally.decisions]


async def test_a_name_leads_to_a_version() -> None:
    rig = await make_rig("m@1", policy=policy())
    rig.answer("m@1")
    assert decisions(await ask(rig)) == [("m@1", Reason.ROUTE)]
    assert decisions(await ask(rig, "m@1")) == [("m@1", Reason.ROUTE)]


async def test_a_rollout_takes_its_share() -> None:
    rig = await make_rig("m@1", "m@2", policy=policy())
    rig.answer("m@2")
    rig.traffic.rollouts = {"m": {M1: 0, M2: 100}}
    assert decisions(await ask(rig)) == [("m@2", Reason.ROLLOUT)]


async def test_each_retry_is_a_decision() -> None:
    rig = await make_rig("m@1", policy=policy())
    rig.answer("m@1")
    rig.replicas["m@1"].errors = [DEAD]
    assert decisions(await ask(rig)) == [("m@1", Reason.ROUTE), ("m@1", Reason.RETRY)]


async def test_a_fallback_is_chosen_because_of_a_failure() -> None:
    rig = await make_rig(
        "m@1", "spare@1", policy=policy(retries={"attempts": 1}, fallbacks={"unavailable": ["spare"]})
    )
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].error = DEAD
    assert decisions(await ask(rig)) == [("m@1", Reason.ROUTE), ("spare@1", Reason.FALLBACK)]


async def test_a_hedge_is_one_more_and_the_later_answer_leaves_no_stream_open() -> None:
    rig = await make_rig("m@1", policy=policy(hedge={"after_ms": 1}))
    asked = asyncio.create_task(ask(rig))
    await eventually(lambda: rig.replicas["m@1"].num_calls == 2)
    rig.answer("m@1")
    assert decisions(await asked) == [("m@1", Reason.ROUTE), ("m@1", Reason.HEDGE)]
    await eventually(lambda: rig.witness.open == {"m@1": 0})


async def test_copies_are_decisions_of_their_own_call_and_too_many_are_skipped() -> None:
    rig = await make_rig(
        "m@1",
        "m@2",
        policy=policy(shadow=[{"target": "2", "share": 1}]),
        patience=Patience(max_shadows=1),
    )
    rig.answer("m@1")  # the copy hangs
    assert decisions(await ask(rig)) == [("m@1", Reason.ROUTE)]
    await ask(rig)
    assert rig.witness.skipped == ["m@2"]
    rig.answer("m@2")
    await eventually(lambda: bool(rig.diary.left))
    ((copy, _),) = rig.diary.left
    assert decisions(copy) == [("m@2", Reason.SHADOW)]
    assert "m@2" not in rig.witness.open  # nobody reads a copy's stream


async def test_a_version_that_was_chosen_and_refused_is_known() -> None:
    rig = await make_rig("m@1", policy=policy())
    rig.till.refusal = DEAD
    call = a_call()
    with pytest.raises(ModelUnavailableError):
        await rig.plane.generate("m", GREEDY, call)
    assert (decisions(call), call.tally.attempts) == ([("m@1", Reason.ROUTE)], [])


async def test_a_stream_is_open_from_its_first_part_to_its_end_and_tells_the_time_between() -> None:
    rig = await make_rig("m@1", policy=policy())
    rig.answer("m@1")
    stream = await rig.plane.generate("m", GREEDY, a_call())
    assert rig.witness.open == {"m@1": 1}
    assert rig.plane.queues()[M1].lane.num_under_way == 1
    await read(stream)
    assert rig.witness.open == {"m@1": 0}
    assert [version for version, _ in rig.witness.gaps] == ["m@1", "m@1"]
    assert all(seconds >= 0 for _, seconds in rig.witness.gaps)


async def test_a_stream_that_nobody_reads_is_closed_once() -> None:
    rig = await make_rig("m@1", policy=policy())
    rig.answer("m@1")
    stream = await rig.plane.generate("m", GREEDY, a_call())
    await stream.aclose()
    await stream.aclose()
    assert rig.witness.open == {"m@1": 0}


async def test_queues_are_those_of_all_deployed_versions() -> None:
    rig = await make_rig("m@1", "m@2")
    places = rig.catalog.capacities()[M1]
    assert rig.plane.queues() == {M1: Queue(LaneView(places), 0), M2: Queue(LaneView(places), 0)}
