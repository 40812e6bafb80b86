"""The memory of a replica as Ray metrics. Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

from deployments.metrics.ray_metrics import begin, make_counter, make_gauge
from deployments.metrics.replica import Replica
from deployments.metrics.replica_rows import (
    BUDGET,
    DEVIATION,
    MEASURED,
    OVER_BUDGET,
    OVER_BUDGET_EPISODES,
    PLANNED,
)
from deployments.metrics.row import GaugeRow
from models.memory.measured import MemoryReport
from models.types import EngineStats, VersionId

_GAUGES = (PLANNED, MEASURED, BUDGET, DEVIATION, OVER_BUDGET)


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one gauge; ``term`` is its label, where it has one."""

    gauge: GaugeRow
    value: float
    term: str | None = None


class MemoryMetrics:
    """Reports one replica, or one ``rank`` of a group. ``version`` is what it serves, None of a pool.

    The labels of what there is not are empty. ``engine`` is asked at each report for what the engine knows of its
    memory, by term.
    """

    def __init__(
        self,
        replica: Replica,
        version: VersionId | None,
        engine: Callable[[], Mapping[str, int]],
        rank: int | None = None,
    ) -> None:
        model = {"model": version.name if version else "", "version": version.version if version else ""}
        tags = {**asdict(replica), **model, "rank": "" if rank is None else str(rank)}
        self._engine = engine
        self._num_episodes = 0
        self._gauges = {row: make_gauge(row, tags) for row in _GAUGES}
        self._episodes = make_counter(OVER_BUDGET_EPISODES, tags)
        begin(self._episodes)

    def report(self, found: MemoryReport) -> None:
        """Set every gauge."""
        for sample in samples(found, self._engine()):
            self._gauges[sample.gauge].set(sample.value, {"term": sample.term} if sample.term else {})
        if found.state.num_episodes > self._num_episodes:
            self._episodes.inc(found.state.num_episodes - self._num_episodes)
            self._num_episodes = found.state.num_episodes


def samples(found: MemoryReport, engine: Mapping[str, int]) -> Iterator[Sample]:
    """Every gauge's value."""
    planned = {
        **{term.name: term.bytes for term in found.planned.terms},
        "total": found.planned.total_bytes,
        "host": found.planned.host_bytes,
    }
    measured = {
        **found.reading.parts,
        **engine,
        "total": found.reading.total_bytes,
        "peak": found.peak_bytes,
    }
    yield from (Sample(PLANNED, size, term) for term, size in planned.items())
    yield from (Sample(MEASURED, size, term) for term, size in measured.items())
    yield Sample(BUDGET, found.planned.budget_bytes)
    yield Sample(DEVIATION, found.deviation)
    yield Sample(OVER_BUDGET, int(found.state.over))


def kv_cache_in_use(kv_cache_bytes: int, stats: EngineStats) -> dict[str, int]:
    """Pages of running requests, of the planned bytes of all; 0 for an engine without a KV cache."""
    if not stats.num_kv_pages:
        return {"kv_cache": 0}
    return {"kv_cache": kv_cache_bytes * stats.num_kv_pages_used // stats.num_kv_pages}
