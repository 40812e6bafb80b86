"""Plans and places everything in a configuration on the nodes of a cluster. Pure, but for what finds versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from cluster.config.serve_config import DeployedModel, DeployedPool, ServeConfig
from cluster.planning.planned import ClusterPlan, KnownVersion, PlannedModel, PlannedPool
from cluster.terminal.options import ReplicaCount
from deployments.args import ModelArgs
from deployments.planning import check_model_fits, plan_model
from models.errors import StowageError
from models.hardware import Node
from models.memory.plan import cheaper
from models.memory.pool_plan import plan_pool
from models.placement.groups import Parts, insert_group, remove_group
from models.placement.layout import Layout, lay_out
from models.placement.moves import Rules
from models.placement.proof import Misfit, prove
from models.placement.remedies import Reduction
from models.placement.search import place
from models.placement.shortage import room_bytes
from models.placement.slots import CPU, Demand, Key, Placement, Slot

FindVersion = Callable[[ModelArgs], KnownVersion]


def plan_cluster(
    config: ServeConfig,
    find: FindVersion,
    nodes: Sequence[Node],
    *,
    at: ReplicaCount = ReplicaCount.MIN,
    keep: Mapping[Key, Slot] | None = None,
) -> ClusterPlan:
    """Everything in ``config`` on ``nodes``. What cannot be planned is a problem of its own; the rest is planned.

    ``keep``: where replicas lie already; the places that the configuration itself names go before. ``find`` may
    raise any StowageError.
    """
    models = tuple(_plan_model(model, find, nodes, at) for model in config.models)
    pools = tuple(_plan_pool(pool, find, nodes) for pool in config.pools)
    demands = (*_router_demands(config), *_demands((*models, *pools)))
    written = _written_slots(models)
    placement = place(demands, nodes, keep={**(keep or {}), **written})
    layout = lay_out(demands, nodes, placement.slots)
    reductions = _reductions(models, placement, layout)
    asleep = [parts for model in models if not model.num_replicas and (parts := model.demands(0))]
    return ClusterPlan(
        nodes=tuple(nodes),
        models=models,
        pools=pools,
        demands=demands,
        placement=placement,
        misfits=(*prove(placement, demands, nodes, reductions), *_never_awake(asleep, nodes)),
        waking=_waking(asleep, layout),
        misplaced=tuple(_misplaced(written, placement)),
    )


def _plan_model(model: DeployedModel, find: FindVersion, nodes: Sequence[Node], at: ReplicaCount) -> PlannedModel:
    args = model.args
    num_replicas = model.replicas.low if at is ReplicaCount.MIN else model.replicas.high
    known = plan = None
    try:
        known = find(args)
        plan = plan_model(args, known.manifest, nodes, known.overheads)
        check_model_fits(args, known.manifest, plan, nodes, known.overheads)
    except StowageError as error:
        return PlannedModel(model, num_replicas, known, plan, str(error))
    return PlannedModel(model, num_replicas, known, plan)


def _plan_pool(pool: DeployedPool, find: FindVersion, nodes: Sequence[Node]) -> PlannedPool:
    try:
        known = [(model.args, find(model.args)) for model in pool.models]
        plans = [plan_model(args, each.manifest, nodes, each.overheads) for args, each in known]
        manifests = [each.manifest for _, each in known]
        return PlannedPool(pool, plan_pool(manifests, plans, pool.args.pinned, int(pool.args.memory)))
    except StowageError as error:
        return PlannedPool(pool, None, f"{pool.args.application}: {error}")


def _demands(planned: Sequence[PlannedModel | PlannedPool]) -> Iterator[Demand]:
    for each in planned:
        for replica in range(each.num_replicas):
            yield from each.demands(replica)


def _router_demands(config: ServeConfig) -> Iterator[Demand]:
    """The routers take CPUs, and no memory that is planned."""
    for replica in range(config.router_args.num_replicas):
        yield Demand(config.router, replica, CPU, 0, num_cpus=config.router_args.num_cpus)


def _written_slots(models: Sequence[PlannedModel]) -> dict[Key, Slot]:
    return {
        (model.name, *divmod(index, model.num_parts)): Slot(place.node, place.devices)
        for model in models
        for index, place in enumerate(model.args.placement)
    }


def _misplaced(written: Mapping[Key, Slot], placement: Placement) -> Iterator[str]:
    for (model, replica, part), wanted in written.items():
        slot = placement.slots.get((model, replica, part))
        if slot is not None and slot != wanted:
            yield (
                f"{model}: replica {replica} cannot lie on {wanted}, where its placement puts it, but on {slot} "
                "(write the places anew: stowage plan --write)"
            )


def _reductions(
    models: Sequence[PlannedModel], placement: Placement, layout: Layout
) -> dict[str, tuple[Reduction, ...]]:
    """What the planner offers for each model of which replicas are left over."""
    unplaced = {demand.model: demand for demand in placement.unplaced}
    return {
        model.name: tuple(_smaller(model, unplaced[model.name], layout))
        for model in models
        if model.name in unplaced
    }


def _smaller(model: PlannedModel, demand: Demand, layout: Layout) -> Iterator[Reduction]:
    """What makes the model fit into the room that there is. A group would become another one."""
    if model.plan is None or model.plan.group or model.known is None:
        return
    available_bytes = room_bytes(demand, layout) + demand.shared_bytes
    known, limits = model.known, model.args.limits
    for change in cheaper(model.plan, known.manifest, limits, available_bytes, known.overheads):
        # How much of other weights would be shared, the planner does not say: nothing is the safe guess.
        shared_bytes = 0 if "dtype" in dict(change.settings) else demand.shared_bytes
        yield Reduction(str(change), change.total_bytes - shared_bytes, shared_bytes)


def _waking(asleep: Sequence[Parts], layout: Layout) -> dict[str, tuple[Slot, ...]]:
    """Where each would find room, by itself, beside what runs. Nothing moves for a model that wakes."""
    return {parts[0].model: _room_for(parts, layout) for parts in asleep}


def _room_for(parts: Parts, layout: Layout) -> tuple[Slot, ...]:
    if not insert_group(layout, parts, Rules()):
        return ()
    slots = layout.slots()
    remove_group(layout, parts)
    return tuple(slots[part.key] for part in parts)


def _never_awake(asleep: Sequence[Parts], nodes: Sequence[Node]) -> Iterator[Misfit]:
    """Of those that would find no room on empty nodes."""
    empty = lay_out((), nodes, {})
    for parts in asleep:
        if not _room_for(parts, empty):
            yield from prove(Placement({}, parts), parts, nodes)
