"""One version that sleeps or starts, watched until it is up: by asking what is live, and a call that wakes it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Protocol

from deployments.dataplane.catalog import Catalog
from deployments.routing.states import ModelState
from models.errors import ModelUnavailableError, StowageError
from models.types import VersionId

logger = logging.getLogger("ray.serve")


class Waker(Protocol):
    """Starts replicas."""

    async def wake(self, version: VersionId, pool: str | None = None) -> None:
        """Ask for a replica, and return when one answers. Cancelling it withdraws the wish.

        StowageError when the replica that was waited for ends or is not healthy.
        """


class ComingUp:
    """Watches from its making on, in a task of its own, until ``state`` is neither asleep nor starting.

    ``state`` is always the newest, ``began`` when it was made, on the event loop's clock. ``woken_in_s`` is how
    long it took from then to the first answer of a version that slept.
    """

    def __init__(self, state: ModelState, catalog: Catalog, waker: Waker, poll_s: float) -> None:
        self._catalog = catalog
        self._waker = waker
        self._poll_s = poll_s
        self._call: asyncio.Task[None] | None = None
        self.state = state
        self.began = asyncio.get_running_loop().time()
        self.woken_in_s: float | None = None
        self._ended_at = self.began
        self._watch = asyncio.create_task(self._run())

    @property
    def ended(self) -> bool:
        return self._watch.done()

    @property
    def up_in_s(self) -> float | None:
        """How long it took to be up, woken or not; None while it is not."""
        if self.woken_in_s is not None or self.state.status != "ready":
            return self.woken_in_s
        return self._ended_at - self.began

    async def wait(self, timeout_s: float) -> None:
        """Return when it has ended, or after ``timeout_s``; what went wrong in the watch itself is raised."""
        await asyncio.wait({self._watch}, timeout=timeout_s)
        if self.ended:
            self._watch.result()

    async def close(self) -> None:
        """Watch no longer, and withdraw the call."""
        await _end(self._watch)

    async def _run(self) -> None:
        try:
            while is_coming(self.state):
                if self.state.status == "asleep" and self._call is None:
                    self._call = asyncio.create_task(self._waker.wake(self.state.id, self.state.pool))
                if await self._answered():
                    await self._wake_up()
                else:
                    self.state = await self._look()
        finally:
            self._ended_at = asyncio.get_running_loop().time()
            if self._call is not None:
                await _end(self._call)

    async def _answered(self) -> bool:
        """Whether a replica has answered the call within one period; a call that failed is forgotten."""
        if self._call is None:
            await asyncio.sleep(self._poll_s)
            return False
        await asyncio.wait({self._call}, timeout=self._poll_s)
        if not self._call.done():
            return False
        try:
            self._call.result()
        except StowageError:  # Serve starts another replica, or says that it has given up
            logger.warning("The replica of %s that was being woken did not answer.", self.state.id, exc_info=True)
            self._call = None
            await asyncio.sleep(self._poll_s)
            return False
        return True

    async def _wake_up(self) -> None:
        """It is up, whatever Serve says; asked all the same, so that the next request finds it ready."""
        self.woken_in_s = asyncio.get_running_loop().time() - self.began
        seen = await self._look()
        self.state = replace(seen, ready=True, status="ready", reason=None)

    async def _look(self) -> ModelState:
        """The version as it is now; while Serve does not tell, as it was."""
        try:
            await self._catalog.refresh()
        except ModelUnavailableError as error:
            return replace(self.state, reason=error.message)
        found = next((state for state in self._catalog.states if state.id == self.state.id), None)
        return found or replace(self.state, ready=False, status="stopping", reason="it is not deployed any more")


def is_coming(state: ModelState) -> bool:
    """Whether it will be ready if one waits, or wakes it."""
    return state.status in ("asleep", "starting")


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel it if it still runs, and wait until it has let go of what it holds."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
