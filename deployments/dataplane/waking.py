"""Holding requests for a model that sleeps or starts: few, with a bound on the time, and told how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from deployments.dataplane.catalog import Catalog
from deployments.dataplane.coming_up import ComingUp, Waker, is_coming
from deployments.dataplane.observer import UNOBSERVED, Observer
from deployments.routing.choice import unavailable
from deployments.routing.states import ModelState
from models.errors import ModelUnavailableError
from models.types import VersionId

# Of a version that has not been seen to wake up yet.
_TYPICAL_START_S = 10.0
_SOONEST_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class WakingLimits:
    """``max_waiting``: the most requests that wait for one version to be up. ``wait_s``: the longest wait of one.

    ``poll_s``: how often the cluster is asked meanwhile. ``progress_s``: how often each request hears of it.
    """

    max_waiting: int = 64
    wait_s: float = 120.0
    poll_s: float = 0.5
    progress_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a request waits for, and how long it has."""

    state: ModelState
    waited_s: float

    def __str__(self) -> str:
        """One line: ``waiting for m@1: starting (3 s): its replica is loading``."""
        reason = f": {self.state.reason}" if self.state.reason else ""
        return f"waiting for {self.state.id}: {self.state.status} ({self.waited_s:.0f} s){reason}"


Tell = Callable[[Progress], None]


@dataclass(eq=False, slots=True)
class _Room:
    """Those who wait for one version."""

    coming: ComingUp
    num_waiting: int = 0


class Waking:
    """Wakes versions when they are asked for, and holds the requests for each until it is up."""

    def __init__(
        self, catalog: Catalog, waker: Waker, limits: WakingLimits, observer: Observer = UNOBSERVED
    ) -> None:
        self._catalog = catalog
        self._waker = waker
        self._limits = limits
        self._observer = observer
        self._rooms: dict[VersionId, _Room] = {}
        self._woken_in_s: dict[VersionId, float] = {}

    @property
    def num_waiting(self) -> dict[VersionId, int]:
        """How many requests wait, for those versions for which some do."""
        return {version: room.num_waiting for version, room in self._rooms.items()}

    async def until_ready(self, state: ModelState, deadline: float, tell: Tell) -> ModelState:
        """The state of the same version once it is ready, at once if it is; one that sleeps is woken.

        ``tell`` hears of the wait every ``progress_s``. ModelUnavailableError with the reason: at once when too
        many wait already or it cannot start, within ``poll_s`` when that turns out, and at ``deadline`` (on the
        event loop's clock) or after ``wait_s``.
        """
        if state.status == "ready":
            return state
        if not is_coming(state):
            raise unavailable(state)
        room = self._room(state)
        if room.num_waiting >= self._limits.max_waiting:
            raise self._full(room)
        room.num_waiting += 1
        try:
            await self._wait(room.coming, deadline, tell)
        finally:
            await self._leave(room)
        if room.coming.state.status != "ready":
            raise unavailable(room.coming.state)
        return room.coming.state

    def _room(self, state: ModelState) -> _Room:
        """The one that is open, or a new one."""
        room = self._rooms.get(state.id)
        if room is None or room.coming.ended:
            coming = ComingUp(state, self._catalog, self._waker, self._limits.poll_s)
            room = self._rooms[state.id] = _Room(coming)
        return room

    async def _wait(self, coming: ComingUp, deadline: float, tell: Tell) -> None:
        came = _now()
        give_up_at = min(deadline, came + self._limits.wait_s)
        while not coming.ended:
            left_s = give_up_at - _now()
            if left_s <= 0:
                raise unavailable(coming.state, self._remaining_s(coming))
            await coming.wait(min(left_s, self._limits.progress_s))
            if not coming.ended:
                tell(Progress(coming.state, _now() - came))

    async def _leave(self, room: _Room) -> None:
        """The last one out ends the watch."""
        room.num_waiting -= 1
        if room.num_waiting:
            return
        version = room.coming.state.id
        if self._rooms.get(version) is room:
            del self._rooms[version]
        if room.coming.woken_in_s is not None:
            self._woken_in_s[version] = room.coming.woken_in_s
        self._observer.woke(version, room.coming.up_in_s)
        await room.coming.close()

    def _full(self, room: _Room) -> ModelUnavailableError:
        state = room.coming.state
        return ModelUnavailableError(
            f"model {state.id} is {state.status}, and {room.num_waiting} requests wait for it already",
            retry_after_s=self._remaining_s(room.coming),
        )

    def _remaining_s(self, coming: ComingUp) -> float:
        """Until the version is up, if it takes as long as the last time."""
        start_s = self._woken_in_s.get(coming.state.id, _TYPICAL_START_S)
        return max(_SOONEST_RETRY_S, start_s - (_now() - coming.began))


def _now() -> float:
    return asyncio.get_running_loop().time()
