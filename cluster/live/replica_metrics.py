"""What replicas report of themselves, read from Ray's Prometheus endpoints: no Prometheus is needed for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from cluster.live.dashboard import Dashboard
from cluster.live.http_get import UnreachableError, get
from models.errors import StowageError

_OURS = "ray_stowage_"
_MEMORY = f"{_OURS}memory_"
_STARTING = f"{_OURS}engine_starting"
_SHARE_KEPT = f"{_OURS}compute_share_kept"
_TIMEOUT_S = 5.0
_MOST_AT_ONCE = 32

# What every report has, by metric and term.
_NEEDED = {
    ("planned_bytes", "total"),
    ("measured_bytes", "total"),
    ("measured_bytes", "peak"),
    ("budget_bytes", ""),
    ("deviation_ratio", ""),
    ("over_budget", ""),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of a replica, without its name's prefix."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """``problems`` says what could not be asked."""

    samples: tuple[Sample, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaMemory:
    """One replica's bytes, by term of the plan and by what was measured; both have a ``total``.

    ``rank``: which one, of a replica that is divided. ``deviation`` of the peak from the planned total, of a pool
    since that has changed last.
    """

    application: str
    replica: str
    budget_bytes: int
    rank: int | None = field(default=None, kw_only=True)
    planned: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, int] = field(default_factory=dict)
    deviation: float = 0.0
    over_budget: bool = False


def fetch_metrics(dashboard: Dashboard) -> Metrics:
    """Our samples of every node of the cluster. Never raises: a cluster without metrics has problems instead.

    Ray sends metrics to the endpoints every 10 seconds, unless its ``metrics_report_interval_ms`` is changed.
    """
    try:
        addresses = dashboard.metrics_addresses()
    except StowageError as error:
        return Metrics(problems=(str(error),))
    if not addresses:
        return Metrics(problems=("the dashboard names no endpoint for metrics",))
    with ThreadPoolExecutor(min(len(addresses), _MOST_AT_ONCE)) as pool:
        found = list(pool.map(_ask, addresses))
    samples = (sample for each in found for sample in each.samples)
    return Metrics(tuple(samples), tuple(problem for each in found for problem in each.problems))


def replica_memory(samples: Iterable[Sample], running: Mapping[str, Iterable[str]]) -> tuple[ReplicaMemory, ...]:
    """The replicas, or ranks of them, that have reported in full; series stay for a while after their replica has
    ended, so only those count that Serve says are ``running``, by application."""
    by_replica: dict[tuple[str, str, int | None], list[Sample]] = {}
    for sample in samples:
        key = (sample.labels.get("application", ""), sample.labels.get("replica", ""), _rank(sample))
        if sample.name.startswith(_MEMORY) and key[1] in running.get(key[0], ()):
            by_replica.setdefault(key, []).append(sample)
    found = (_replica(*key, each) for key, each in sorted(by_replica.items(), key=_order))
    return tuple(each for each in found if each is not None)


def starting(samples: Iterable[Sample]) -> dict[str, str]:
    """By ``name@version``: that a replica of it waits for its turn on a GPU, or has it."""
    found = {}
    for sample in samples:
        if sample.name == _STARTING and sample.value:
            label, where = sample.labels, _gpu(sample)
            behind = f" behind {label['behind']}" if label.get("behind") else ""
            text = f"waits for {where}{behind}" if label.get("state") == "waiting" else f"loads onto {where}"
            found[_version(sample)] = text
    return found


def without_share(samples: Iterable[Sample]) -> dict[str, str]:
    """By ``name@version``: where its ``compute_share`` has no effect."""
    gpus: dict[str, list[str]] = {}
    for sample in samples:
        if sample.name == _SHARE_KEPT and not sample.value:
            gpus.setdefault(_version(sample), []).append(_gpu(sample))
    return {
        version: f"compute_share has no effect on {', '.join(sorted(where))}: no MPS daemon runs there"
        for version, where in gpus.items()
    }


def parse_samples(text: str) -> Iterator[Sample]:
    """Our series in the exposition format of Prometheus; an endpoint has thousands of others."""
    ours = "\n".join(line for line in text.splitlines() if line.startswith(_OURS))
    for family in text_string_to_metric_families(ours + "\n"):
        yield from (Sample(each.name, each.labels, each.value) for each in family.samples)


def _version(sample: Sample) -> str:
    return f"{sample.labels.get('model')}@{sample.labels.get('version')}"


def _gpu(sample: Sample) -> str:
    return f"GPU {sample.labels.get('gpu')} of {sample.labels.get('node')}"


def _ask(address: str) -> Metrics:
    try:
        reply = get(f"http://{address}/metrics", timeout_s=_TIMEOUT_S)
    except UnreachableError as error:
        return Metrics(problems=(f"no metrics from {error}",))
    if reply.status != 200:
        return Metrics(problems=(f"no metrics from http://{address}: HTTP {reply.status}",))
    return Metrics(tuple(parse_samples(reply.body.decode())))


def _rank(sample: Sample) -> int | None:
    label = sample.labels.get("rank")
    return int(label) if label else None


def _order(item: tuple[tuple[str, str, int | None], list[Sample]]) -> tuple[str, str, int]:
    (application, replica, rank), _ = item
    return application, replica, rank or 0


def _replica(application: str, replica: str, rank: int | None, samples: Iterable[Sample]) -> ReplicaMemory | None:
    values = {
        (sample.name.removeprefix(_MEMORY), sample.labels.get("term", "")): sample.value for sample in samples
    }
    if not values.keys() >= _NEEDED:
        return None  # its first report is on the way
    return ReplicaMemory(
        application=application,
        replica=replica,
        rank=rank,
        budget_bytes=int(values["budget_bytes", ""]),
        planned=_terms(values, "planned_bytes"),
        measured=_terms(values, "measured_bytes"),
        deviation=values["deviation_ratio", ""],
        over_budget=bool(values["over_budget", ""]),
    )


def _terms(values: Mapping[tuple[str, str], float], name: str) -> dict[str, int]:
    return {term: int(size) for (metric, term), size in sorted(values.items()) if metric == name}
