"""The router's picture of what is live: polled off the request path, refreshed on a miss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import ceil

from deployments.routing.live_versions import LiveVersions
from deployments.routing.states import ModelState, Picture
from models.errors import ModelUnavailableError
from models.types import VersionId

logger = logging.getLogger("ray.serve")

# A quarter more than the replicas work on: the next requests are there when a place becomes free.
_AHEAD = 1.25
# Of a version of which that is not known, as of one that has not been built yet.
_CONCURRENCY = 32
_UP = ("ready", "asleep", "starting")


class Catalog:
    """Holds the newest states. ``fetch`` is blocking and is called in a worker thread.

    When a poll fails the last picture stays: models that were ready go on being served.
    """

    def __init__(self, fetch: Callable[[], Picture], period_s: float) -> None:
        self._fetch = fetch
        self._period_s = period_s
        self._picture = Picture()
        self._listeners: list[Callable[[], None]] = []
        self.live = LiveVersions(())
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def states(self) -> tuple[ModelState, ...]:
        return self._picture.states

    def state(self, version: VersionId) -> ModelState | None:
        """Of the version, as it was seen last; None if it is not deployed."""
        return self.live.get(version)

    def capacity(self, state: ModelState) -> int:
        """How many requests of the version this router replica may have under way: its part of them all."""
        places = ceil(_AHEAD * _concurrency(state) * max(1, state.num_replicas))
        return ceil(places / self._picture.num_routers)

    def capacities(self) -> dict[VersionId, int]:
        """The capacity of each version that is up or on its way; 0 of the others."""
        return {state.id: self.capacity(state) if state.status in _UP else 0 for state in self.states}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each look at what is live."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Return with a picture that was begun no earlier than the refresh under way.

        ModelUnavailableError when Serve cannot be asked.
        """
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def run(self) -> None:
        """Poll until cancelled, for the first time one period from now."""
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self.refresh()
            except Exception:  # whatever it is, the next look may succeed
                logger.warning("Could not see or follow what is live; the last picture stays.", exc_info=True)

    async def _refresh(self) -> None:
        try:
            self._picture = await asyncio.to_thread(self._fetch)
        except Exception as error:  # whatever the controller's trouble is, the picture stays
            raise ModelUnavailableError(f"Serve does not say what is live: {error}") from error
        self.live = LiveVersions(self.states)
        for listener in self._listeners:
            listener()


def _concurrency(state: ModelState) -> int:
    return (state.card and state.card.max_concurrency) or _CONCURRENCY
