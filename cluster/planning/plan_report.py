"""A plan as JSON for machines; docs/planning.md explains every field. Sizes are in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.planning.bars import NodeBars
from cluster.planning.cluster_usage import Usage, gpu_usage, hourly_cost, memory_usage
from cluster.planning.memory_report import MemoryReport, report_memory
from cluster.planning.notes import plan_notes
from cluster.planning.planned import ClusterPlan, PlannedModel, PlannedPool
from models.manifest import Frozen
from models.placement.slots import Slot


class PlaceReport(Frozen):
    """Where these ranks of one replica go, each on one of ``devices``; ``node`` is null where there is no room."""

    replica: int
    ranks: tuple[int, ...]
    node: str | None
    devices: tuple[int, ...] = ()


class ModelReport(Frozen):
    """One model version. ``plan`` is null when there can be none; ``problem`` says why it cannot be deployed."""

    model: str
    version: str
    min_replicas: int
    max_replicas: int
    num_replicas: int
    plan: MemoryReport | None
    places: tuple[PlaceReport, ...]
    wakes_on: tuple[PlaceReport, ...] | None
    problem: str | None


class PooledModelReport(Frozen):
    """A model of a pool and what it adds to the process when it is loaded."""

    model: str
    version: str
    bytes: int


class PoolReport(Frozen):
    """One pool. ``runtime_bytes`` and ``tokenizer_bytes`` of the budget are no model's; null when not planned."""

    name: str
    num_replicas: int
    budget_bytes: int
    runtime_bytes: int | None
    tokenizer_bytes: int | None
    models: tuple[PooledModelReport, ...]
    places: tuple[PlaceReport, ...]
    problem: str | None


class SegmentReport(Frozen):
    """Bytes of a model on a device; ``replica`` is null for what its replicas on the node share, ``rank`` for a
    replica that is no group."""

    model: str
    replica: int | None
    rank: int | None
    bytes: int


class DeviceReport(Frozen):
    """One GPU, or the node's memory (``index`` null)."""

    index: int | None
    device: str
    capacity_bytes: int
    used_bytes: int
    segments: tuple[SegmentReport, ...]


class NodeReport(Frozen):
    """One node and all that lies on it."""

    name: str
    group: str
    num_cpus: float
    price_per_hour: float | None
    devices: tuple[DeviceReport, ...]


class UsageReport(Frozen):
    """Of all GPUs, or of the memory of all nodes."""

    num_devices: int
    num_used: int
    capacity_bytes: int
    used_bytes: int


class CostReport(Frozen):
    """Per hour: of all nodes with a price, and of those of them that hold something."""

    all_nodes: float
    used_nodes: float
    num_unpriced_nodes: int


class PlanReport(Frozen):
    """The whole plan."""

    fits: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    models: tuple[ModelReport, ...]
    pools: tuple[PoolReport, ...]
    nodes: tuple[NodeReport, ...]
    gpus: UsageReport
    node_memory: UsageReport
    cost_per_hour: CostReport | None


def report_plan(planned: ClusterPlan) -> PlanReport:
    """The plan, in the order of the configuration and of the nodes."""
    nodes = planned.bars()
    cost = hourly_cost(nodes)
    return PlanReport(
        fits=not planned.problems,
        problems=tuple(planned.problems),
        notes=tuple(plan_notes(planned)),
        models=tuple(_model(planned, model) for model in planned.models),
        pools=tuple(_pool(planned, pool) for pool in planned.pools),
        nodes=tuple(_node(each) for each in nodes),
        gpus=_usage(gpu_usage(nodes)),
        node_memory=_usage(memory_usage(nodes)),
        cost_per_hour=cost
        and CostReport(all_nodes=cost.all_nodes, used_nodes=cost.used_nodes, num_unpriced_nodes=cost.num_unpriced),
    )


def _model(planned: ClusterPlan, model: PlannedModel) -> ModelReport:
    args, waking = model.args, planned.waking.get(model.name)
    return ModelReport(
        model=args.model,
        version=args.version,
        min_replicas=model.model.replicas.low,
        max_replicas=model.model.replicas.high,
        num_replicas=model.num_replicas,
        plan=report_memory(model, model.plan) if model.plan else None,
        places=tuple(_places(model, planned.places(model))),
        wakes_on=tuple(_places(model, waking)) if waking else None,
        problem=model.problem,
    )


def _pool(planned: ClusterPlan, pool: PlannedPool) -> PoolReport:
    sizes = pool.plan.sizes if pool.plan else {}
    return PoolReport(
        name=pool.name,
        num_replicas=pool.num_replicas,
        budget_bytes=pool.budget_bytes,
        runtime_bytes=pool.plan and pool.plan.runtime_bytes,
        tokenizer_bytes=pool.plan and pool.plan.tokenizer_bytes,
        models=tuple(
            PooledModelReport(model=version.name, version=version.version, bytes=size)
            for version, size in sizes.items()
        ),
        places=tuple(_places(pool, planned.places(pool))),
        problem=pool.problem,
    )


def _places(each: PlannedModel | PlannedPool, slots: Sequence[Slot | None]) -> Iterator[PlaceReport]:
    """Each replica has one for each of its stages."""
    num_ranks = each.num_ranks // each.num_parts
    for index, slot in enumerate(slots):
        replica, part = divmod(index, each.num_parts)
        ranks = tuple(range(part * num_ranks, (part + 1) * num_ranks))
        if slot is None:
            yield PlaceReport(replica=replica, ranks=ranks, node=None)
        else:
            yield PlaceReport(replica=replica, ranks=ranks, node=slot.node, devices=slot.devices)


def _node(each: NodeBars) -> NodeReport:
    node = each.node
    devices = tuple(
        DeviceReport(
            index=bar.index,
            device=bar.device,
            capacity_bytes=bar.capacity_bytes,
            used_bytes=bar.used_bytes,
            segments=tuple(
                SegmentReport(model=segment.model, replica=segment.replica, rank=segment.rank, bytes=segment.bytes)
                for segment in bar.segments
            ),
        )
        for bar in each.bars
    )
    return NodeReport(
        name=node.name,
        group=node.group,
        num_cpus=node.num_cpus,
        price_per_hour=node.price_per_hour,
        devices=devices,
    )


def _usage(usage: Usage) -> UsageReport:
    return UsageReport(
        num_devices=usage.num_bars,
        num_used=usage.num_used,
        capacity_bytes=usage.capacity_bytes,
        used_bytes=usage.used_bytes,
    )
