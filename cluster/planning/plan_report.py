"""A plan as JSON for machines; docs/planning.md explains every field. Sizes are in bytes."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.planning.bars import NodeBars
from cluster.planning.cluster_usage import Usage, gpu_usage, hourly_cost, memory_usage
from cluster.planning.planned import ClusterPlan, PlannedModel, PlannedPool
from models.manifest import Frozen
from models.memory.plan import MemoryPlan
from models.memory.terms import MemoryTerm
from models.placement.slots import Slot


class TermReport(Frozen):
    """One summand of a model's memory."""

    name: str
    bytes: int
    formula: str
    shared: bool


class LimitsReport(Frozen):
    """What one replica can hold under its budget."""

    max_model_len: int
    max_num_seqs: int
    max_batch_tokens: int
    max_batch_size: int
    page_size: int
    num_kv_pages: int


class PlaceReport(Frozen):
    """Where one replica goes; ``node`` is null where there is no room for it."""

    replica: int
    node: str | None
    devices: tuple[int, ...] = ()


class MemoryReport(Frozen):
    """The memory of one replica, and what it asks of Ray for it (null when it can have no place)."""

    engine: str
    device: str
    terms: tuple[TermReport, ...]
    host_terms: tuple[TermReport, ...]
    total_bytes: int
    shared_bytes: int
    host_bytes: int
    budget_bytes: int
    num_ranks: int
    num_gpus: float | None
    memory_bytes: int | None
    limits: LimitsReport


class ModelReport(Frozen):
    """One model version. ``plan`` is null when there can be none; ``problem`` says why it cannot be deployed."""

    model: str
    version: str
    min_replicas: int
    max_replicas: int
    num_replicas: int
    plan: MemoryReport | None
    places: tuple[PlaceReport, ...]
    wakes_on: PlaceReport | None
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
    """Bytes of a model on a device; ``replica`` is null for what its replicas on the node share."""

    model: str
    replica: int | None
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
        models=tuple(_model(planned, model) for model in planned.models),
        pools=tuple(_pool(planned, pool) for pool in planned.pools),
        nodes=tuple(_node(each) for each in nodes),
        gpus=_usage(gpu_usage(nodes)),
        node_memory=_usage(memory_usage(nodes)),
        cost_per_hour=cost
        and CostReport(all_nodes=cost.all_nodes, used_nodes=cost.used_nodes, num_unpriced_nodes=cost.num_unpriced),
    )


def _model(planned: ClusterPlan, model: PlannedModel) -> ModelReport:
    args, slot = model.args, planned.waking.get(model.name)
    return ModelReport(
        model=args.model,
        version=args.version,
        min_replicas=model.model.replicas.low,
        max_replicas=model.model.replicas.high,
        num_replicas=model.num_replicas,
        plan=_memory(model, model.plan) if model.plan else None,
        places=tuple(_places(planned.places(model))),
        wakes_on=slot and PlaceReport(replica=0, node=slot.node, devices=slot.devices),
        problem=model.problem,
    )


def _memory(model: PlannedModel, plan: MemoryPlan) -> MemoryReport:
    reserved = model.reservation
    return MemoryReport(
        engine=plan.engine,
        device=plan.device.name,
        terms=tuple(map(_term, plan.terms)),
        host_terms=tuple(map(_term, plan.host_terms)),
        total_bytes=plan.total_bytes,
        shared_bytes=plan.shared_bytes,
        host_bytes=plan.host_bytes,
        budget_bytes=plan.budget_bytes,
        num_ranks=model.num_ranks,
        num_gpus=reserved and reserved.num_gpus,
        memory_bytes=reserved and reserved.memory_bytes,
        limits=LimitsReport(**{name: getattr(plan, name) for name in LimitsReport.model_fields}),
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
        places=tuple(_places(planned.places(pool))),
        problem=pool.problem,
    )


def _term(term: MemoryTerm) -> TermReport:
    return TermReport(name=term.name, bytes=term.bytes, formula=term.formula, shared=term.shared)


def _places(slots: list[Slot | None]) -> Iterator[PlaceReport]:
    for replica, slot in enumerate(slots):
        if slot is None:
            yield PlaceReport(replica=replica, node=None)
        else:
            yield PlaceReport(replica=replica, node=slot.node, devices=slot.devices)


def _node(each: NodeBars) -> NodeReport:
    node = each.node
    devices = tuple(
        DeviceReport(
            index=bar.index,
            device=bar.device,
            capacity_bytes=bar.capacity_bytes,
            used_bytes=bar.used_bytes,
            segments=tuple(
                SegmentReport(model=segment.model, replica=segment.replica, bytes=segment.bytes)
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
