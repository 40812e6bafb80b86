"""Waking a version that sleeps: by telling the autoscaler of what waits, else by a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from deployments.dataplane.coming_up import Waker
from deployments.routing.states import ModelState
from models.types import VersionId

# What the autoscaler takes to hear of it and start a replica, and the router to see that; afterwards it is called.
_PATIENCE_S = 5.0
_POLL_S = 0.1


class Bell(Protocol):
    """As DemandReport has it."""

    def ring(self) -> None: ...


class ReportingWaker:
    """While a call waits for a version that has no replica, Serve asks its policy for nothing: it starts one.

    So a version whose policy hears of waiting requests in another way is called when a replica can answer, or when
    nothing has come of what the policy was told. All others are called at once.
    """

    def __init__(
        self,
        caller: Waker,
        bell: Bell,
        state: Callable[[VersionId], ModelState | None],
        patience_s: float = _PATIENCE_S,
        poll_s: float = _POLL_S,
    ) -> None:
        """``state`` is what is known of a version now."""
        self._caller = caller
        self._bell = bell
        self._state = state
        self._patience_s = patience_s
        self._poll_s = poll_s

    async def wake(self, version: VersionId, pool: str | None = None) -> None:
        """As Waker has it."""
        state = self._state(version)
        if state is not None and state.range is not None and state.range.is_ours:
            self._bell.ring()
            await self._wait_for_start(version)
        await self._caller.wake(version, pool)

    async def _wait_for_start(self, version: VersionId) -> None:
        """Until a replica is up, or there is still none after the patience."""
        give_up_at = asyncio.get_running_loop().time() + self._patience_s
        while True:
            state = self._state(version)
            if state is None or state.num_replicas:
                return
            if state.status == "asleep" and asyncio.get_running_loop().time() >= give_up_at:
                return
            await asyncio.sleep(self._poll_s)
