"""How a version that sleeps is woken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from deployments.routing.states import ModelState, ReplicaRange
from deployments.waker import ReportingWaker
from models.types import VersionId
from tests.unit.deployments.live_models import state
from tests.unit.deployments.planes import eventually

M = VersionId("m", "1")
OURS = ReplicaRange(0, 2, "deployments.autoscaling:ModelPolicy", is_ours=True)
RAYS = ReplicaRange(0, 2, "ray.serve.autoscaling_policy:default_autoscaling_policy", is_ours=False)
ASLEEP = replace(state("m@1", "asleep"), range=OURS)


@dataclass
class Caller:
    called: list[tuple[VersionId, str | None]] = field(default_factory=list)

    async def wake(self, version: VersionId, pool: str | None = None) -> None:
        self.called.append((version, pool))


class Bell:
    num_rings = 0

    def ring(self) -> None:
        self.num_rings += 1


class Rig:
    """``state`` is what the router sees."""

    def __init__(self, seen: ModelState | None, patience_s: float = 20.0) -> None:
        self.state = seen
        self.caller, self.bell = Caller(), Bell()
        waker = ReportingWaker(self.caller, self.bell, lambda _: self.state, patience_s, poll_s=0.001)
        self.task = asyncio.create_task(waker.wake(M))


async def test_the_autoscaler_is_told_and_the_replica_that_it_starts_is_called() -> None:
    rig = Rig(ASLEEP)
    await eventually(lambda: rig.bell.num_rings == 1)
    rig.state = replace(ASLEEP, ready=False, status="starting")
    await asyncio.sleep(0.01)
    assert rig.caller.called == []  # Serve would not ask the policy for more
    rig.state = replace(ASLEEP, status="ready", num_replicas=1)
    await rig.task
    assert rig.caller.called == [(M, None)]


async def test_where_nothing_comes_of_it_a_call_starts_a_replica() -> None:
    rig = Rig(ASLEEP, patience_s=0.01)
    await rig.task
    assert (rig.bell.num_rings, rig.caller.called) == (1, [(M, None)])


async def test_other_policies_hear_of_calls_only() -> None:
    for seen in (replace(ASLEEP, range=RAYS), replace(ASLEEP, range=None), None):
        rig = Rig(seen)
        await rig.task
        assert (rig.bell.num_rings, rig.caller.called) == (0, [(M, None)])
