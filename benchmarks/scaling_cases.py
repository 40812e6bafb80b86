"""What autoscaling is tried on: engines, traces, targets, and the policies that are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from benchmarks.scaling_cluster import Cluster, ClusterModel, Moment, replica_seconds
from benchmarks.scaling_engine import EngineModel, Job
from benchmarks.scaling_ours import OurPolicy
from benchmarks.scaling_outcome import Target, attainment, recovery_s
from benchmarks.scaling_ray import RayPolicy, RaySettings
from benchmarks.scaling_traces import Made, Trace, recorded
from deployments.scaling.settings import Kind, ScalingSettings

# About a model of 8 billion parameters on a GPU of 24 GB, and on one with room for long prompts.
SHORT = EngineModel(
    max_num_seqs=16, max_tokens=24_000, max_batch_tokens=512, step_s=0.028, sequence_s=0.0003, token_s=0.000125
)
LONG = EngineModel(
    max_num_seqs=16, max_tokens=200_000, max_batch_tokens=2048, step_s=0.015, sequence_s=0.0004, token_s=0.00006
)
# The slowest step of either is within the target between tokens: limits are chosen so, whoever scales.
SOON = Target(first_s=2.0, prompt_token_s=1 / 2000, token_s=0.1)
LATER = Target(first_s=10.0, prompt_token_s=1 / 2000, token_s=0.2)

_MAX_REPLICAS = 32
_STEP_AT_S, _STEP_END_S = 300.0, 900.0


@dataclass(frozen=True, slots=True)
class Case:
    """``num_replicas``: those that are there at first."""

    trace: Trace
    model: ClusterModel
    target: Target
    num_replicas: int


@dataclass(frozen=True, slots=True)
class Side:
    """A policy: Ray's with these settings, or ours with this headroom."""

    name: str
    ray: RaySettings | None = None
    headroom: float = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. ``recovery_s`` is None where the load does not change for good."""

    case: str
    side: str
    setting: str
    attainment: float
    replica_seconds: float
    recovery_s: float | None
    num_changes: int
    most_replicas: int
    length_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """What a plot needs of one."""

    case: Case
    sample: Sample
    moments: list[Moment]
    jobs: list[Job]


OURS = Side("Stowage")
DEFAULT = Side("Ray, its defaults", RaySettings())
# As many as Stowage has given to Ray's policy: three quarters of what the engine runs at once.
SIZED = Side("Ray, target 12", RaySettings(target_ongoing_requests=12.0))
BEHIND = Side("Ray, target 12, our queue unseen", RaySettings(target_ongoing_requests=12.0, sees_queue=False))


def _cluster(cold_start_s: float, engine: EngineModel = SHORT) -> ClusterModel:
    return ClusterModel(engine, cold_start_s, _MAX_REPLICAS)


def _step(seed: int, cold_start_s: float) -> Case:
    made = Made("step", ((0.0, 3.0), (_STEP_AT_S, 12.0)), _STEP_END_S, recorded("conv"), seed, _STEP_AT_S)
    return Case(made.trace(), _cluster(cold_start_s), SOON, 3)


def _nodes(seed: int) -> Case:
    """There are nodes for four replicas; others have to be provided first."""
    made = Made("nodes", ((0.0, 3.0), (_STEP_AT_S, 12.0)), _STEP_END_S, recorded("conv"), seed, _STEP_AT_S)
    return Case(made.trace(), ClusterModel(SHORT, 20.0, _MAX_REPLICAS, node_s=60.0, num_nodes=4), SOON, 3)


def _spikes() -> Case:
    rates = tuple(
        (start + begin, rate) for start in range(0, 3600, 600) for begin, rate in ((0.0, 3.0), (480.0, 12.0))
    )
    return Case(Made("spikes", rates, 3600.0, recorded("conv"), 5).trace(), _cluster(20.0), SOON, 3)


_TRACES: Mapping[str, Callable[[], Case]] = {
    "conv": lambda: Case(recorded("conv"), _cluster(20.0), SOON, 4),
    "conv, first half": lambda: Case(recorded("conv").part("first", 0, 1750), _cluster(20.0), SOON, 4),
    "conv, second half": lambda: Case(recorded("conv").part("second", 1750, 3600), _cluster(20.0), SOON, 6),
    "conv, 4 times as fast": lambda: Case(recorded("conv").faster("fast", 4.0), _cluster(20.0), SOON, 12),
    "code": lambda: Case(recorded("code"), _cluster(20.0), SOON, 1),
    "mooncake": lambda: Case(recorded("mooncake"), _cluster(20.0, LONG), LATER, 6),
    "spikes": _spikes,
}
TRACES = tuple(_TRACES)
SEEDS = range(1, 6)
COLD_STARTS_S = (5.0, 10.0, 20.0, 60.0)


@cache
def case_of(name: str) -> Case:
    """A trace's by its name; ``step COLD_START_S SEED``; ``nodes SEED``."""
    if name in _TRACES:
        return _TRACES[name]()
    kind, *numbers = name.split()
    return _nodes(int(numbers[0])) if kind == "nodes" else _step(int(numbers[1]), float(numbers[0]))


def run(name: str, side: Side) -> Run:
    """Simulate it."""
    case = case_of(name)
    end = case.trace.length_s
    cluster = Cluster(case.model, case.trace, case.num_replicas)
    cluster.run(_policy(case, side), end)
    change_s = case.trace.change_s
    sample = Sample(
        case=name,
        side=side.name,
        setting=str(side.ray) if side.ray else f"headroom {side.headroom:g}",
        attainment=attainment(cluster.jobs, case.target),
        replica_seconds=replica_seconds(cluster.moments, end),
        recovery_s=None if change_s is None else recovery_s(cluster.jobs, case.target, change_s),
        num_changes=sum(each.target != last.target for last, each in pairwise(cluster.moments)),
        most_replicas=max(each.num_taken for each in cluster.moments),
        length_s=end,
    )
    return Run(case, sample, cluster.moments, cluster.jobs)


def sample_of(name: str, side: Side) -> Sample:
    """For processes that run one each."""
    return run(name, side).sample


def _policy(case: Case, side: Side) -> OurPolicy | RayPolicy:
    if side.ray is not None:
        return RayPolicy(side.ray, case.model.max_replicas, case.num_replicas)
    engine = case.model.engine
    settings = ScalingSettings(
        Kind.GENERATION,
        min_replicas=1,
        max_replicas=case.model.max_replicas,
        max_num_seqs=engine.max_num_seqs,
        max_tokens=engine.max_tokens,
        queue_s=case.target.first_s,
        headroom=side.headroom,
    )
    return OurPolicy(settings)
