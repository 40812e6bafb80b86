"""At most so many requests of a version are under way at once; the others wait for their turn, or are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from deployments.identity.caller import Priority
from deployments.routing.fair_share import Ticket
from deployments.routing.lane import Lane, LaneLimits
from models.errors import ModelUnavailableError, OverloadedError
from models.types import VersionId

# When to try again while nothing has been served that the wait could be reckoned from.
_RETRY_S = 1.0
_SOONEST_RETRY_S = 0.01


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who wants to get in: ``weight`` is the tenant's share, ``deadline`` on the gate's clock.

    ``limit`` is held while it waits, to end that at the deadline.
    """

    priority: Priority
    tenant: str
    weight: float
    deadline: float
    limit: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


@dataclass(eq=False, slots=True)
class _Waiter(Ticket):
    """``outcome`` is None when it gets in, else why not. ``has_place`` is true from the moment that it is let in,
    which is before its task goes on."""

    outcome: asyncio.Future[ModelUnavailableError | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    has_place: bool = False


@dataclass(frozen=True, slots=True)
class LaneView:
    """Of one version, this replica's places, how many are taken, and who waits for one."""

    num_places: int = 0
    num_under_way: int = 0
    num_waiting: int = 0


class Gate:
    """The places of all versions in one router replica. ``capacity`` is always this replica's part."""

    def __init__(self, limits: LaneLimits, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds, as that of the event loop does."""
        self._limits = limits
        self._clock = clock
        self._lanes: dict[VersionId, Lane[_Waiter]] = {}

    @asynccontextmanager
    async def enter(self, version: VersionId, capacity: int, entrant: Entrant) -> AsyncIterator[float]:
        """Hold one of the version's ``capacity`` places in the body; gives the seconds spent in the queue.

        OverloadedError, at once, when the queue is full or the wait would probably last longer than the deadline
        or the limits allow; later, when a request of higher priority needs the place in the queue.
        ModelUnavailableError when the version has no places.
        """
        if capacity < 1:
            raise _without_places(version)
        lane = self._resize(version, capacity)
        came = self._clock()
        if not lane.take(entrant.priority):
            async with entrant.limit():
                await self._wait(version, lane, entrant)
        entered = self._clock()
        try:
            yield entered - came
        finally:
            _let_in(lane.leave(entrant.priority, self._clock() - entered))

    @property
    def lanes(self) -> dict[VersionId, LaneView]:
        """Of the versions that were asked for lately."""
        return {
            version: LaneView(lane.capacity, lane.num_under_way, lane.num_waiting)
            for version, lane in self._lanes.items()
        }

    def follow(self, capacities: Mapping[VersionId, int]) -> None:
        """From now on the versions have these places, all others none: who waits for those is sent away."""
        for version, lane in list(self._lanes.items()):
            capacity = capacities.get(version, 0)
            self._resize(version, capacity)
            if not capacity:
                for waiter in lane.drain():
                    _settle(waiter, _without_places(version))
                if not lane.num_under_way:
                    del self._lanes[version]

    def _resize(self, version: VersionId, capacity: int) -> Lane[_Waiter]:
        lane = self._lanes.get(version)
        if lane is None:
            lane = self._lanes[version] = Lane(self._limits)
        if lane.capacity != capacity:
            _let_in(lane.resize(capacity))
        return lane

    async def _wait(self, version: VersionId, lane: Lane[_Waiter], entrant: Entrant) -> None:
        waiter = _Waiter(entrant.priority, entrant.tenant, entrant.weight)
        self._queue(version, lane, waiter, entrant.deadline - self._clock())
        try:
            refusal = await waiter.outcome
        except asyncio.CancelledError:
            if waiter.has_place:
                _let_in(lane.leave(waiter.priority))
            else:
                lane.give_up(waiter)
            raise
        if refusal is not None:
            raise refusal

    def _queue(self, version: VersionId, lane: Lane[_Waiter], waiter: _Waiter, remaining_s: float) -> None:
        """OverloadedError when it may not, or should not, wait."""
        wait_s, patience_s = lane.expected_wait_s(waiter), lane.patience_s(waiter, remaining_s)
        if wait_s is not None and wait_s > patience_s:
            raise OverloadedError(
                f"model {version} has {lane.num_waiting} requests waiting: this one would wait {wait_s:.3g} s, "
                f"longer than {max(0.0, patience_s):.3g} s",
                retry_after_s=max(_SOONEST_RETRY_S, wait_s - patience_s),
            )
        displaced = lane.wait(waiter)
        if displaced is None:
            return
        refusal = OverloadedError(
            f"model {version} has {lane.num_waiting} requests waiting, and no room for this one in its queue",
            retry_after_s=_RETRY_S if wait_s is None else max(_SOONEST_RETRY_S, wait_s),
        )
        if displaced is waiter:
            raise refusal
        _settle(displaced, refusal)


def _let_in(waiters: Iterable[_Waiter]) -> None:
    """One whose task is being cancelled has its place too, and gives it back when that task goes on."""
    for waiter in waiters:
        waiter.has_place = True
        _settle(waiter, None)


def _settle(waiter: _Waiter, outcome: ModelUnavailableError | None) -> None:
    if not waiter.outcome.done():
        waiter.outcome.set_result(outcome)


def _without_places(version: VersionId) -> ModelUnavailableError:
    return ModelUnavailableError(f"model {version} has no replica that is up", retry_after_s=_RETRY_S)
