"""The router's picture of what is live: polled off the request path, refreshed on a miss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deployments.routing.states import ModelState
from models.errors import ModelUnavailableError

logger = logging.getLogger("ray.serve")


class Catalog:
    """Holds the newest states. ``fetch`` is blocking and is called in a worker thread.

    When a poll fails the last picture stays: models that were ready go on being served.
    """

    def __init__(self, fetch: Callable[[], tuple[ModelState, ...]], period_s: float) -> None:
        self._fetch = fetch
        self._period_s = period_s
        self._states: tuple[ModelState, ...] = ()
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def states(self) -> tuple[ModelState, ...]:
        return self._states

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
            except ModelUnavailableError:
                logger.warning("Could not ask Serve what is live; the last picture stays.", exc_info=True)

    async def _refresh(self) -> None:
        try:
            self._states = await asyncio.to_thread(self._fetch)
        except Exception as error:  # whatever the controller's trouble is, the picture stays
            raise ModelUnavailableError(f"Serve does not say what is live: {error}") from error
