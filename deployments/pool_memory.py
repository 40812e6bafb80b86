"""The memory of a pool's process: compared with the plan of what it hosts, and won back by closing models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from deployments.args import MemoryPolicy
from deployments.engine_host import EngineHost
from deployments.memory_watch import MemoryWatch
from deployments.pool.cache import ModelCache
from models.engines.meters import Meter
from models.errors import OverloadedError
from models.memory.measured import MemoryReport, Planned, Reading, compare_mapped
from models.types import VersionId


@dataclass(frozen=True, slots=True)
class _Tidied:
    """A meter that first has done what makes its reading true."""

    meter: Meter
    give_back: Callable[[], None]

    def read(self) -> Reading:
        self.give_back()
        return self.meter.read()


class PoolMemory:
    """Made on the event loop of ``cache``; ``watch`` looks on a thread of its own, where ``report`` is called too.

    Before each look it has ``give_back`` return what closed models have left.

    Over its budget under the policy ``shed``, a pool closes idle models, loads no others, and answers for those
    that are loaded. When there is none to close, it refuses all new work, as the replica of one model does.
    """

    def __init__(
        self,
        planned: Callable[[], Planned],
        policy: MemoryPolicy,
        meter: Meter,
        give_back: Callable[[], None],
        cache: ModelCache[EngineHost],
        report: Callable[[MemoryReport], None],
    ) -> None:
        self.watch = MemoryWatch(planned, policy, _Tidied(meter, give_back), compare_mapped, self._report)
        self._cache = cache
        self._tell = report
        self._loop = asyncio.get_running_loop()

    def admit(self, model: VersionId) -> OverloadedError | None:
        """The answer to new work of ``model`` while that is shed, None when it may come in."""
        refusal = self.watch.admit()
        return None if refusal and self._cache.is_loaded(model) and self._cache.can_close else refusal

    def _report(self, found: MemoryReport) -> None:
        """The next look is to see what closing models has given back, so it waits for that."""
        self._tell(found)
        if self.watch.admit():
            excess_bytes = found.reading.high_bytes - found.planned.budget_bytes
            asyncio.run_coroutine_threadsafe(self._cache.close_idle(excess_bytes), self._loop).result()
