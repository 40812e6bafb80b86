"""What is known once everything in a configuration is planned and placed. Plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from cluster.config.serve_config import DeployedModel, DeployedPool
from cluster.planning.bars import NodeBars, draw_bars
from deployments.args import ModelArgs
from deployments.reservation import Reservation, reserve
from models.hardware import Node
from models.manifest import Manifest
from models.memory.group_plan import RankPlan
from models.memory.overheads import MEASURED, Overheads
from models.memory.plan import MemoryPlan
from models.memory.pool_plan import PoolPlan
from models.placement.proof import Misfit
from models.placement.slots import CPU, Demand, Placement, Slot


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """What a plan follows from: the manifest, and the overheads that were measured for its store."""

    manifest: Manifest
    overheads: Overheads = MEASURED


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One version with an application of its own.

    ``num_replicas`` have to be placed; 0 for a model that sleeps. ``plan`` is None when there can be none;
    ``problem`` says why it cannot be deployed.
    """

    model: DeployedModel
    num_replicas: int
    known: KnownVersion | None = None
    plan: MemoryPlan | None = None
    problem: str | None = None

    @property
    def args(self) -> ModelArgs:
        return self.model.args

    @property
    def name(self) -> str:
        return str(self.args.id)

    @property
    def num_ranks(self) -> int:
        """Of one replica."""
        return self.plan.group.num_ranks if self.plan and self.plan.group else 1

    @property
    def num_parts(self) -> int:
        """Places of one replica: each of the stages of a group has one."""
        return self.plan.parts.pipeline if self.plan else 1

    @property
    def device(self) -> str:
        return self.plan.device.name if self.plan else ""

    @property
    def reservation(self) -> Reservation | None:
        """What each replica asks of Ray, of a group its first rank; None when it can have no place."""
        return reserve(self.args, self.plan) if self.plan and not self.problem else None

    def demands(self, replica: int) -> tuple[Demand, ...]:
        """What one replica takes of a node, of a group each stage; nothing when it cannot be deployed."""
        if self.plan is None or self.problem:
            return ()
        ranks: Sequence[MemoryPlan | RankPlan] = self.plan.group.ranks if self.plan.group else (self.plan,)
        in_part = len(ranks) // self.num_parts
        return tuple(
            self._demand(self.plan, replica, part, ranks[part * in_part : (part + 1) * in_part])
            for part in range(self.num_parts)
        )

    def _demand(self, plan: MemoryPlan, replica: int, part: int, ranks: Sequence[MemoryPlan | RankPlan]) -> Demand:
        """Of those ranks: each as much as the largest; on a CPU, where they share a device, an equal part."""
        on_cpu = plan.device.kind == CPU
        own = [rank.budget_bytes - (rank.shared_bytes if on_cpu else 0) for rank in ranks]
        return Demand(
            model=self.name,
            replica=replica,
            device=plan.device.name,
            device_bytes=-(-sum(own) // len(own)) if on_cpu else max(own),
            shared_bytes=sum(rank.shared_bytes for rank in ranks) if on_cpu else 0,
            num_ranks=len(ranks),
            host_bytes=sum(rank.host_bytes for rank in ranks),
            num_cpus=self.args.num_cpus * len(ranks),
            part=part,
            num_parts=self.num_parts,
        )


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """One pool of models. ``plan`` and ``problem`` as of a model."""

    pool: DeployedPool
    plan: PoolPlan | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        return self.pool.args.application

    @property
    def num_replicas(self) -> int:
        return self.pool.args.num_replicas

    @property
    def budget_bytes(self) -> int:
        return int(self.pool.args.memory)

    @property
    def num_ranks(self) -> int:
        """As of a model: no pool is divided."""
        return 1

    @property
    def num_parts(self) -> int:
        """As of a model."""
        return 1

    def demands(self, replica: int) -> tuple[Demand, ...]:
        """As of a model."""
        if self.problem:
            return ()
        return (Demand(self.name, replica, CPU, self.budget_bytes, num_cpus=self.pool.args.num_cpus),)


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """All models and pools, where they lie, and why what does not fit does not. ``demands`` has the routers' too.

    ``waking``: for each model that sleeps, its places beside those that run; none when it would have to wait for
    room. ``misplaced``: written places that do not hold.
    """

    nodes: tuple[Node, ...]
    models: tuple[PlannedModel, ...]
    pools: tuple[PlannedPool, ...]
    demands: tuple[Demand, ...]
    placement: Placement
    misfits: tuple[Misfit, ...]
    waking: Mapping[str, tuple[Slot, ...]]
    misplaced: tuple[str, ...]

    @property
    def everything(self) -> tuple[PlannedModel | PlannedPool, ...]:
        """All that takes memory."""
        return (*self.models, *self.pools)

    @property
    def unfit(self) -> list[str]:
        """Why something cannot be planned, or has no place."""
        problems = [each.problem for each in self.everything if each.problem]
        return [*problems, *map(str, self.misfits)]

    @property
    def problems(self) -> list[str]:
        """Everything that keeps the configuration from running as it is written."""
        return [*self.unfit, *self.misplaced]

    @property
    def booked_twice(self) -> list[str]:
        """Models whose shared weights Ray counts once for each replica on a node, since no places are written."""
        return [model.name for model in self.models if self._is_booked_twice(model)]

    def _is_booked_twice(self, model: PlannedModel) -> bool:
        if model.plan is None or model.plan.device.kind != CPU or model.args.placement:
            return False
        places = enumerate(self.places(model))
        on_node = Counter((slot.node, index % model.num_parts) for index, slot in places if slot)
        return model.plan.shared_bytes > 0 and max(on_node.values(), default=0) > 1

    def bars(self) -> tuple[NodeBars, ...]:
        """How full every device is."""
        return draw_bars(self.nodes, self.demands, self.placement)

    def places(self, each: PlannedModel | PlannedPool) -> list[Slot | None]:
        """The slots of all replicas, None for one without; each replica has as many as it has parts."""
        slots = self.placement.slots
        parts = product(range(each.num_replicas), range(each.num_parts))
        return [slots.get((each.name, replica, part)) for replica, part in parts]
