"""The actor of every rank but the first. Rank 0 makes it, owns it, and it ends with rank 0."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import ray
from ray import serve
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from deployments.args import ModelArgs
from deployments.group.vitals import Vitals
from deployments.group.workers import Worker
from deployments.memory_watch import MemoryWatch
from deployments.metrics.replica import Replica, this_replica
from deployments.options import runtime_env
from deployments.rank_process import Arrival, RankProcess
from deployments.reservation import reserve
from models.engines.heap import keep_freed_blocks
from models.errors import ConfigError
from models.memory.group_plan import GroupPlan
from models.memory.plan import MemoryPlan
from models.parallel.greeting import Endpoint
from models.parallel.rendezvous import Meeting
from models.parallel.report import RankReport

if TYPE_CHECKING:
    from models.parallel.follower import Follower

logger = logging.getLogger("ray.serve")

# Methods of this group are answered while another one works.
PULSE = "pulse"
_NAMESPACE = "stowage"


class RankWorker:
    """Its methods are called in their order, but for ``feel_pulse``, which answers at any time."""

    def __init__(self, args: ModelArgs, plan: MemoryPlan, group: GroupPlan, rank: int, replica: Replica) -> None:
        _write_log(f"rank {rank} of {args.id}")
        self._process = RankProcess(args, plan, group, rank)
        self._replica = replica
        self._memory: MemoryWatch | None = None
        self._follower: Follower | None = None

    def arrive(self, token: bytes, check_s: float) -> Arrival:
        return self._process.arrive(token, check_s)

    def claim_gpus(self, rank_nodes: Sequence[str]) -> dict[int, int]:
        return self._process.claim_gpus(rank_nodes)

    def use_gpu(self, gpus: Mapping[int, int]) -> None:
        self._process.use_gpu(gpus)

    def report(self, peers: Sequence[Endpoint]) -> RankReport:
        return self._process.report(peers)

    def join(self, meeting: Meeting, within_s: float) -> None:
        self._process.join(meeting, within_s)

    def load(self) -> None:
        """Blocks until all ranks have loaded."""
        from models.engines.group import make_follower  # noqa: PLC0415  imports torch

        process = self._process
        self._follower = make_follower(process.describe(), process.progress, process.pulse)
        if process.settings.keeps_heap:
            keep_freed_blocks()
        self._memory = process.watch_memory(self._replica)

    def run(self) -> None:
        """Returns when the leader ends the group in order; raises what ended it otherwise."""
        if self._follower is None:
            raise AssertionError("a rank runs after it has loaded")
        self._follower.run()

    @ray.method(concurrency_group=PULSE)
    def feel_pulse(self) -> Vitals:
        pulse, memory = self._process.pulse.snapshot(), self._memory
        return Vitals(pulse, memory.admit(), memory.fault()) if memory else Vitals(pulse)


def _write_log(who: str) -> None:
    """Into the file that Ray keeps of the worker's errors: Serve sets up the logs of replicas alone."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"%(levelname)s %(asctime)s {who}: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def make_worker(args: ModelArgs, plan: MemoryPlan, group: GroupPlan, rank: int) -> Worker:
    """In the bundle of its rank, of this replica's placement group. ConfigError where there is no such bundle."""
    placed: PlacementGroup | None = ray.util.get_current_placement_group()
    if placed is None or placed.bundle_count <= rank:
        raise ConfigError(
            f"{args.id} was deployed without the {group.num_ranks} bundles of its plan",
            remedy="leave placement_group_bundles to the plan",
        )
    asked = reserve(args, plan, rank)
    replica = serve.get_replica_context().replica_id
    remote = cast("Callable[..., Any]", ray.remote)  # whose annotations know no concurrency groups
    actor = remote(concurrency_groups={PULSE: 1})(RankWorker).options(
        name=f"{replica.to_full_id_str()} rank {rank}",
        namespace=_NAMESPACE,
        num_cpus=args.num_cpus,
        num_gpus=asked.num_gpus,
        memory=asked.memory_bytes,
        scheduling_strategy=PlacementGroupSchedulingStrategy(
            placed, rank, placement_group_capture_child_tasks=False
        ),
        runtime_env=runtime_env(args, plan),
    )
    return Worker(rank, actor.remote(args, plan, group, rank, this_replica()))
