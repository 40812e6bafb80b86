"""What happens to the models of a pool, as Ray metrics. Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from collections import Counter as Totals
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import PurePosixPath

from ray.util.metrics import Counter, Gauge, Histogram

from deployments.metrics import Replica
from models.types import VersionId

_TAGS = ("application", "replica", "model", "version")
_PREFIX = "stowage_pool_"
_LOAD_BOUNDARIES_S = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]

_COUNTERS = {
    "hits": "Requests that found their model loaded",
    "loads": "How often the model was loaded",
    "failures": "How often the model could not be loaded",
    "evictions": "How often the model was closed: to make room, because it was broken, or to shed",
}
_GAUGES = {
    "resident_bytes": "Planned bytes of the model while it is loaded",
    "planned_weights_bytes": "Planned bytes of the model's mapped weights while it is loaded",
    "measured_weights_bytes": "Bytes of the model's mapped weights that are in memory",
}


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
        self._counters = {name: Counter(_PREFIX + name, text, _TAGS) for name, text in _COUNTERS.items()}
        self._seconds = Histogram(_PREFIX + "load_seconds", "Time of one load", _LOAD_BOUNDARIES_S, _TAGS)
        self._gauges = {name: Gauge(_PREFIX + name, text, _TAGS) for name, text in _GAUGES.items()}
        for metric in (*self._counters.values(), *self._gauges.values(), self._seconds):
            metric.set_default_tags(asdict(replica))

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
            self._gauges["resident_bytes"].set(size * (model in held), _tags(model))
        mapped: Totals[tuple[str, ...]] = Totals()
        for path, size in files.items():
            mapped[PurePosixPath(path).parts[:2]] += size
        for model, size in self._mapped_sizes.items():
            self._gauges["planned_weights_bytes"].set(size * (model in held), _tags(model))
            self._gauges["measured_weights_bytes"].set(mapped[model.name, model.version], _tags(model))

    def _count(self, name: str, model: VersionId) -> None:
        self.totals[name] += 1
        self._counters[name].inc(1, _tags(model))


def _tags(model: VersionId) -> dict[str, str]:
    return {"model": model.name, "version": model.version}
