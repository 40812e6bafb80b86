"""One change after the other, each to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

logger = logging.getLogger("ray.serve")


class Turns:
    """For one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._under_way: asyncio.Task[Any] | None = None

    async def take(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of ``work``, which begins when those before it have ended.

        A caller that is cancelled before that takes its work along; one that is cancelled later leaves it to its
        end, so that what was done is written down as well.
        """
        try:
            await self._lock.acquire()
        except asyncio.CancelledError:
            work.close()
            raise
        self._under_way = task = asyncio.create_task(work)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._lock.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("A change of what is deployed was refused or failed: %s", error)
