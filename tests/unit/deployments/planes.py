"""Whole data planes over the fakes of live_models.py, with what they told the limits and the door."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from deployments.dataplane.arrivals import Arrivals
from deployments.dataplane.build import Patience, Seams, build_dataplane
from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.door import Ending, OpenDoor
from deployments.dataplane.observer import Unobserved
from deployments.dataplane.operations import DataPlane
from deployments.dataplane.quotas import Spending
from deployments.dataplane.traffic import Traffic
from deployments.dataplane.waking import WakingLimits
from deployments.identity.caller import ANONYMOUS, Caller
from deployments.routing.policy import RouterPolicy
from deployments.routing.states import ModelState
from models.types import GenerationRequest, SamplingParams, Usage, VersionId
from tests.unit.deployments.live_models import Cluster, Replicas, state

GREEDY = GenerationRequest("r", "hello", SamplingParams(max_tokens=8, temperature=0))
LONG_S = 20.0


@dataclass
class Reservation:
    """``spending`` is None until it was let in, ``settled`` what it had used at its end."""

    model: str
    at_most: Usage
    call: Call
    spending: Spending | None = None
    settled: Usage | None = None
    answered: bool = False


@dataclass
class Till:
    """Lets everybody in, except by ``refusal``, and remembers all. ``is_slow``: not today."""

    reservations: list[Reservation] = field(default_factory=list)
    refusal: Exception | None = None
    is_slow: bool = False

    @asynccontextmanager
    async def reserve(self, call: Call, model: str, at_most: Usage) -> AsyncIterator[Spending]:
        reservation = Reservation(model, at_most, call)
        self.reservations.append(reservation)
        if self.refusal is not None:
            raise self.refusal
        if self.is_slow:
            await asyncio.Event().wait()
        reservation.spending = Spending(call.tally)
        try:
            yield reservation.spending
        finally:
            reservation.settled = reservation.spending.usage
            reservation.answered = reservation.spending.answered


class Diary(OpenDoor):
    """Everybody comes in, and is written down on the way out."""

    def __init__(self) -> None:
        self.left: list[tuple[Call, Ending]] = []

    def leave(self, call: Call, ending: Ending) -> None:
        self.left.append((call, ending))


class Witness(Unobserved):
    """Remembers all that it hears."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.gaps: list[tuple[str, float]] = []
        self.woken: list[tuple[str, float | None]] = []
        self.skipped: list[str] = []

    def stream_opened(self, version: VersionId) -> None:
        self.open[str(version)] += 1

    def stream_closed(self, version: VersionId) -> None:
        self.open[str(version)] -= 1

    def token_gap(self, version: VersionId, seconds: float) -> None:
        self.gaps.append((str(version), seconds))

    def woke(self, version: VersionId, seconds: float | None) -> None:
        self.woken.append((str(version), seconds))

    def shadow_skipped(self, version: VersionId) -> None:
        self.skipped.append(str(version))


@dataclass
class Rig:
    """One data plane and all that it stands on."""

    cluster: Cluster
    replicas: Replicas
    catalog: Catalog
    traffic: Traffic
    till: Till
    diary: Diary
    plane: DataPlane
    witness: Witness
    arrivals: Arrivals

    async def change(self, *states: ModelState) -> None:
        """The cluster changes, and the next poll sees it."""
        self.cluster.states = states
        await self.catalog.refresh()

    def set_policy(self, policy: Mapping[str, object]) -> None:
        self.traffic.set_policy(RouterPolicy.model_validate(policy))

    def answer(self, *versions: str) -> None:
        """These replicas answer from now on."""
        for version in versions:
            self.replicas[version].answer.set()


def waiting_up_to(wait_s: float = LONG_S) -> Patience:
    """For models that are not up."""
    return Patience(WakingLimits(wait_s=wait_s, poll_s=0.005, progress_s=0.005))


async def make_rig(
    *versions: str,
    policy: Mapping[str, object] | None = None,
    patience: Patience | None = None,
    clock: Callable[[], float] | None = None,
) -> Rig:
    """``versions`` are ready. ``clock`` is that of breakers and retries."""
    rig = await rig_over(Cluster(tuple(map(state, versions))), Replicas(), patience, clock)
    rig.set_policy(policy or {})
    return rig


async def rig_over(
    cluster: Cluster,
    replicas: Replicas,
    patience: Patience | None = None,
    clock: Callable[[], float] | None = None,
) -> Rig:
    """Its picture is the cluster as it is now; what comes later it has to ask for."""
    catalog, till, diary = Catalog(cluster.fetch, period_s=LONG_S), Till(), Diary()
    await catalog.refresh()
    cluster.num_fetches = 0
    traffic = Traffic(clock or asyncio.get_running_loop().time, Random(1))  # noqa: S311
    witness = Witness()
    arrivals = Arrivals(asyncio.get_running_loop().time)
    seams = Seams(replicas, replicas, till, diary, witness)
    plane = build_dataplane(catalog, seams, traffic, patience or waiting_up_to(), arrivals)
    return Rig(cluster, replicas, catalog, traffic, till, diary, plane, witness, arrivals)


def a_call(timeout_s: float = LONG_S, caller: Caller = ANONYMOUS, **attributes: str) -> Call:
    return Call.start("r", timeout_s, caller, attributes)


async def eventually(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not seen():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.001)
