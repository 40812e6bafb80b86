"""What a group of ranks asks of Ray: a placement group with one bundle for each rank. Pure.

Ray 2.60 starts the replica in bundle 0, and has no limit on replicas for each node where there are bundles. A
bundle must not ask for one of the implicit resources with which Serve sets that limit: the raylet ends itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from deployments.args import ModelArgs
from deployments.group_places import GroupPlaces
from deployments.placing import choose_kind, choose_names
from deployments.reservation import reserve
from deployments.routing.bundles import Bundles
from models.hardware import Node
from models.memory.group_plan import GroupPlan
from models.memory.plan import MemoryPlan


def choose_bundles(args: ModelArgs, plan: MemoryPlan, group: GroupPlan, nodes: Sequence[Node]) -> Bundles:
    """The budget of each rank as its bundle, the places of its stage as a choice of ``nodes``.

    The ranks of one part have to share a node; several parts are on as few nodes as Ray finds.
    """
    ranks = range(group.num_ranks)
    selectors = tuple(_selector(args, plan, nodes, rank) for rank in ranks)
    return Bundles(
        bundles=tuple(_bundle(args, plan, rank) for rank in ranks),
        strategy="STRICT_PACK" if plan.parts.pipeline == 1 else "PACK",
        label_selectors=selectors if any(selectors) else (),
    )


def _bundle(args: ModelArgs, plan: MemoryPlan, rank: int) -> dict[str, float]:
    asked = reserve(args, plan, rank)
    bundle = {"CPU": args.num_cpus, "memory": float(asked.memory_bytes)}
    return {**bundle, "GPU": asked.num_gpus} if asked.num_gpus else bundle


def _selector(args: ModelArgs, plan: MemoryPlan, nodes: Sequence[Node], rank: int) -> dict[str, str]:
    if args.placement:
        return choose_names(GroupPlaces(args.id, args.placement, plan.parts).of_rank(rank), nodes)
    return choose_kind(plan.device, nodes) if plan.device.kind != "cpu" else {}
