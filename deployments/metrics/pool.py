"""What happens to the models of a pool, as Ray metrics. Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from collections import Counter as Totals
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import PurePosixPath

from deployments.metrics.ray_metrics import make_counter, make_gauge, make_histogram
from deployments.metrics.replica import Replica
from deployments.metrics.replica_rows import (
    POOL_EVICTIONS,
    POOL_FAILURES,
    POOL_HITS,
    POOL_LOAD_DURATION,
    POOL_LOADS,
    POOL_MEASURED_WEIGHTS,
    POOL_PLANNED_WEIGHTS,
    POOL_RESIDENT,
)
from models.types import VersionId

_COUNTERS = {"hits": POOL_HITS, "loads": POOL_LOADS, "failures": POOL_FAILURES, "evictions": POOL_EVICTIONS}


class PoolMetrics:
    """Counts for one replica, each model by itself; ``totals`` are the counts of all of them together.

    ``sizes`` are the planned bytes of each model: what it is counted with while it is resident. ``mapped_sizes``
    are those of its mapped weights, of the models that have any.
    """

    def __init__(
        self, replica: Replica, sizes: Mapping[VersionId, int], mapped_sizes: Mapping[VersionId, int]
    ) -> None:
        self.totals: Totals[str] = Totals()
        self._sizes = sizes
        self._mapped_sizes = mapped_sizes
        tags = asdict(replica)
        self._counters = {name: make_counter(row, tags) for name, row in _COUNTERS.items()}
        self._seconds = make_histogram(POOL_LOAD_DURATION, tags)
        self._resident = make_gauge(POOL_RESIDENT, tags)
        self._planned = make_gauge(POOL_PLANNED_WEIGHTS, tags)
        self._mapped = make_gauge(POOL_MEASURED_WEIGHTS, tags)

    def hit(self, model: VersionId) -> None:
        self._count("hits", model)

    def loaded(self, model: VersionId, seconds: float) -> None:
        self._count("loads", model)
        self._seconds.observe(seconds, _tags(model))

    def failed(self, model: VersionId) -> None:
        self._count("failures", model)

    def evicted(self, model: VersionId) -> None:
        self._count("evictions", model)

    def measured(self, held: Collection[VersionId], files: Mapping[str, int]) -> None:
        """What is loaded, and the bytes in memory of each mapped weight file, by its path in the store.

        Every gauge is set each time: Ray forgets one that is not set for 20 s.
        """
        for model, size in self._sizes.items():
            self._resident.set(size * (model in held), _tags(model))
        mapped: Totals[tuple[str, ...]] = Totals()
        for path, size in files.items():
            mapped[PurePosixPath(path).parts[:2]] += size
        for model, size in self._mapped_sizes.items():
            self._planned.set(size * (model in held), _tags(model))
            self._mapped.set(mapped[model.name, model.version], _tags(model))

    def _count(self, name: str, model: VersionId) -> None:
        self.totals[name] += 1
        self._counters[name].inc(1, _tags(model))


def _tags(model: VersionId) -> dict[str, str]:
    return {"model": model.name, "version": model.version}
