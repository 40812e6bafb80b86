"""The memory of a replica as Ray metrics. Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

from ray import serve
from ray.util.metrics import Counter, Gauge

from deployments.memory_watch import MemoryReport
from models.types import EngineStats, VersionId

_TAGS = ("application", "replica", "model", "version", "rank")

# By name: what it says, and its label beside the tags of every metric.
_GAUGES = {
    "planned_bytes": ("Bytes of one term of the plan, of all on the device (total), beside a GPU (host)", "term"),
    "measured_bytes": ("Bytes measured: now (total), at most (peak), and parts of these", "term"),
    "budget_bytes": ("Bytes that the replica may take on its device", None),
    "deviation_ratio": ("The most measured with what is planned now over the planned total, less one", None),
    "over_budget": ("1 while the replica takes more than its budget, else 0", None),
}
_PREFIX = "stowage_memory_"


@dataclass(frozen=True, slots=True)
class Replica:
    """Which replica reports: its application and its id within that, as Serve names them."""

    application: str
    replica: str


def this_replica() -> Replica:
    """The replica in which this is called."""
    context = serve.get_replica_context()
    return Replica(context.app_name, context.replica_tag)


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one gauge; ``term`` is its label, where it has one."""

    gauge: str
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
        self._gauges = {
            name: Gauge(_PREFIX + name, text, (*_TAGS, label) if label else _TAGS)
            for name, (text, label) in _GAUGES.items()
        }
        self._episodes = Counter(f"{_PREFIX}over_budget_episodes", "How often it went over its budget", _TAGS)
        for metric in (*self._gauges.values(), self._episodes):
            metric.set_default_tags(dict(tags))

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
    yield from (Sample("planned_bytes", size, term) for term, size in planned.items())
    yield from (Sample("measured_bytes", size, term) for term, size in measured.items())
    yield Sample("budget_bytes", found.planned.budget_bytes)
    yield Sample("deviation_ratio", found.deviation)
    yield Sample("over_budget", int(found.state.over))


def kv_cache_in_use(kv_cache_bytes: int, stats: EngineStats) -> dict[str, int]:
    """Pages of running requests, of the planned bytes of all; 0 for an engine without a KV cache."""
    if not stats.num_kv_pages:
        return {"kv_cache": 0}
    return {"kv_cache": kv_cache_bytes * stats.num_kv_pages_used // stats.num_kv_pages}
