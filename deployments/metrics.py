"""The memory of a replica as Ray metrics. Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from ray import serve
from ray.util.metrics import Counter, Gauge

from deployments.memory_watch import MemoryReport
from models.memory.measured import deviation
from models.memory.plan import MemoryPlan
from models.types import EngineStats

_TAGS = ("application", "replica", "model", "version")

# By name: what it says, and its label beside the tags of every metric.
_GAUGES = {
    "planned_bytes": ("Bytes of one term of the plan, of all on the device (total), beside a GPU (host)", "term"),
    "measured_bytes": ("Bytes measured: now (total), at most (peak), and parts of these", "term"),
    "budget_bytes": ("Bytes that the replica may take on its device", None),
    "deviation_ratio": ("The measured peak over the planned total, less one", None),
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
    """Reports one replica. ``stats`` is asked at each report for the pages of the KV cache in use."""

    def __init__(self, replica: Replica, plan: MemoryPlan, stats: Callable[[], EngineStats]) -> None:
        tags = {**asdict(replica), "model": plan.id.name, "version": plan.id.version}
        self._plan = plan
        self._stats = stats
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
        for sample in samples(self._plan, found, self._stats()):
            self._gauges[sample.gauge].set(sample.value, {"term": sample.term} if sample.term else {})
        if found.state.num_episodes > self._num_episodes:
            self._episodes.inc(found.state.num_episodes - self._num_episodes)
            self._num_episodes = found.state.num_episodes


def samples(plan: MemoryPlan, found: MemoryReport, stats: EngineStats) -> Iterator[Sample]:
    """Every gauge's value."""
    planned = {
        **{term.name: term.bytes for term in plan.terms},
        "total": plan.total_bytes,
        "host": plan.host_bytes,
    }
    measured = {
        **found.reading.parts,
        "kv_cache": _kv_bytes_in_use(plan, stats),
        "total": found.reading.total_bytes,
        "peak": found.peak_bytes,
    }
    yield from (Sample("planned_bytes", size, term) for term, size in planned.items())
    yield from (Sample("measured_bytes", size, term) for term, size in measured.items())
    yield Sample("budget_bytes", plan.budget_bytes)
    yield Sample("deviation_ratio", deviation(plan.total_bytes, found.peak_bytes))
    yield Sample("over_budget", int(found.state.over))


def _kv_bytes_in_use(plan: MemoryPlan, stats: EngineStats) -> int:
    """Pages of running requests, at the plan's bytes for each; 0 for an engine without a KV cache."""
    if not stats.num_kv_pages:
        return 0
    return plan.term("kv_cache").bytes * stats.num_kv_pages_used // stats.num_kv_pages
