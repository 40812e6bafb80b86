"""What a router replica tells Serve's controller of the requests that it holds: once a second, if it is news."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from deployments.scaling.demand import RouterDemand, VersionDemand, dump_demand

logger = logging.getLogger("ray.serve")

_PERIOD_S = 1.0
# A sign of life, also where there is no news: who tells nothing for three of these does not count any more.
_BEAT_S = 5.0
# What has come counts over a few seconds; a version that was not asked for in so long is left out.
_QUIET_S = 60.0


class Store(Protocol):
    """As ScalingStore has them. Blocking."""

    def put_demand(self, router: str, value: bytes) -> None: ...
    def drop_demand(self, router: str) -> None: ...


class DemandReport:
    """Of one router replica. ``look`` tells what it has of each version, ``clock`` gives seconds and never goes
    back. To be made in the event loop in which it runs."""

    def __init__(
        self,
        router: str,
        store: Store,
        look: Callable[[], Mapping[str, VersionDemand]],
        clock: Callable[[], float],
    ) -> None:
        self._router = router
        self._store = store
        self._look = look
        self._clock = clock
        self._bell = asyncio.Event()
        self._beat = 0
        self._told: Mapping[str, VersionDemand] | None = None
        self._told_at = 0.0
        self._active_at: dict[str, tuple[int, float]] = {}
        self._is_failing = False

    def ring(self) -> None:
        """A sleeping version is asked for: tell it at once."""
        self._bell.set()

    async def run(self) -> None:
        """Until cancelled; then nothing is left of it in the store."""
        try:
            while True:
                await self._tell()
                try:
                    await asyncio.wait_for(self._bell.wait(), _PERIOD_S)
                except TimeoutError:
                    continue
                self._bell.clear()
        finally:
            await asyncio.shield(asyncio.to_thread(self._drop))

    async def _tell(self) -> None:
        now = self._clock()
        news = self._news(now)
        if news == self._told and now - self._told_at < _BEAT_S:
            return
        self._beat += 1
        value = dump_demand(RouterDemand(self._beat, news))
        try:
            await asyncio.to_thread(self._store.put_demand, self._router, value)
        except Exception:  # whatever it is, it is told again in a second
            if not self._is_failing:
                logger.exception("The autoscaler cannot be told of requests that wait here.")
            self._is_failing = True
            return
        self._told, self._told_at, self._is_failing = news, now, False

    def _news(self, now: float) -> dict[str, VersionDemand]:
        """Of the versions that something has been asked of lately."""
        news = {}
        for version, demand in self._look().items():
            num_arrived, since = self._active_at.get(version, (0, 0.0))
            if demand.num_waiting or demand.num_under_way or demand.num_arrived != num_arrived:
                since = now
                self._active_at[version] = (demand.num_arrived, now)
            if now - since < _QUIET_S:
                news[version] = demand
        return news

    def _drop(self) -> None:
        try:
            self._store.drop_demand(self._router)
        except Exception:
            logger.warning("What this router has told last is left for the autoscaler to remove.", exc_info=True)
