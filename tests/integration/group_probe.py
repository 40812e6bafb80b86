"""A group of ranks that loads nothing, and says where each of them is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import ray
from ray import serve
from ray.util.placement_group import get_current_placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from deployments.args import ModelArgs
from deployments.bundles import choose_bundles
from deployments.devices import assigned_gpu, pin_gpus
from deployments.group_places import GroupClaim, GroupPlaces
from deployments.live_nodes import live_nodes
from deployments.options import model_options
from deployments.place_ledger import PlaceLedger
from deployments.placing import check_places
from deployments.replica_node import reserved_resources, this_node
from deployments.reservation import check_reservation
from deployments.routing.bundles import with_bundles
from models.hardware import Device
from models.memory.plan import MemoryPlan, plan_memory
from models.nodes import NODE_ID_LABEL
from tests.unit.group_plans import grouped
from tests.unit.manifests import SMOLLM2

PLACE_WAIT_S = 20.0


@dataclass(frozen=True)
class RankIs:
    """Where one rank is. ``gpu`` is what CUDA would see, empty on a CPU."""

    rank: int
    node: str
    gpu: str
    pid: int


class Rank:
    """What rank 0 and every worker do."""

    def __init__(self, rank: int, args: ModelArgs, plan: MemoryPlan) -> None:
        self._rank, self._args, self._plan = rank, args, plan
        self._claim: GroupClaim | None = None
        asked = plan.group.ranks[rank].host_bytes if plan.device.kind != "cpu" and plan.group else 0
        reserved = {"memory": asked, **reserved_resources()}
        if plan.device.kind != "cpu":
            check_reservation(args, plan, reserved, rank)

    def claim(self, nodes: Sequence[str]) -> dict[int, int]:
        """For all ranks on this node."""
        assert self._plan.group is not None
        places = GroupPlaces(self._args.id, self._args.placement, self._plan.group.degree)
        here = this_node()
        ledger = PlaceLedger(here.folder / "places" / here.node_id)
        self._claim = places.claim(ledger, nodes, here.name, PLACE_WAIT_S)
        return self._claim.gpus

    def where(self, gpus: Mapping[int, int]) -> RankIs:
        if self._rank in gpus:
            gpu = pin_gpus([gpus[self._rank]], dict(os.environ))
        else:
            gpu = assigned_gpu(self._args.id, os.environ) if self._plan.device.kind != "cpu" else ""
        return RankIs(self._rank, this_node().name, gpu, os.getpid())


class GroupProbe:
    """The replica: it starts a worker in each further bundle, and asks all of them where they are."""

    def __init__(self, args: ModelArgs, plan: MemoryPlan) -> None:
        assert plan.group is not None
        nodes = rank_nodes()
        self._own = Rank(0, args, plan)
        self._workers = {rank: start_worker(rank, args, plan) for rank in range(1, plan.group.num_ranks)}
        gpus: dict[int, int] = {}
        if args.placement and plan.device.kind != "cpu":
            by_node = sorted(range(len(nodes)), key=lambda rank: (nodes[rank], rank))
            for _, ranks in groupby(by_node, key=lambda rank: nodes[rank]):
                gpus |= self._claim_on(next(ranks), nodes)
        others: list[RankIs] = ray.get([worker.where.remote(gpus) for worker in self._workers.values()])
        self._ranks = (self._own.where(gpus), *others)

    def _claim_on(self, rank: int, nodes: Sequence[str]) -> dict[int, int]:
        if rank == 0:
            return self._own.claim(nodes)
        claimed: dict[int, int] = ray.get(self._workers[rank].claim.remote(nodes))
        return claimed

    def reconfigure(self, user_config: object) -> None:
        """Only the router reads it."""

    def __call__(self) -> tuple[RankIs, ...]:
        return self._ranks


def rank_nodes() -> tuple[str, ...]:
    """The name of the node of each bundle of this replica."""
    node_ids: Mapping[int, str] = placement_group_table(get_current_placement_group())["bundles_to_node_id"]
    names = {node.labels[NODE_ID_LABEL]: node.name for node in live_nodes()}
    return tuple(names[node_ids[rank]] for rank in sorted(node_ids))


def start_worker(rank: int, args: ModelArgs, plan: MemoryPlan) -> Any:
    """The actor of a Rank."""
    group = get_current_placement_group()
    assert group is not None
    bundle = group.bundle_specs[rank]
    return (
        ray.remote(num_cpus=bundle["CPU"], num_gpus=bundle.get("GPU", 0))(Rank)
        .options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, rank))
        .remote(rank, args, plan)
    )


def start_group(
    name: str, degree: tuple[int, int], device: Device, places: Sequence[Mapping[str, object]], **more: object
) -> str:
    """Ask for groups as the builder would, but for memory that this machine has not; the application's name."""
    args = ModelArgs.model_validate(
        {"model": name, "num_cpus": 0.1, "parallel": "auto", "placement": list(places), **more}
    )
    whole = plan_memory(SMOLLM2, args.limits, "transformers", device=device, budget_bytes=args.memory.on(device))
    plan = grouped(whole, *degree)
    assert plan.group is not None
    nodes = live_nodes()
    check_places(args, plan, nodes)
    options = model_options(args, plan, nodes)
    options["ray_actor_options"].pop("memory")
    for bundle in options["placement_group_bundles"]:
        del bundle["memory"]
    told = with_bundles({}, choose_bundles(args, plan, plan.group, nodes))
    deployment = serve.deployment(**options, user_config=told)(GroupProbe)
    serve._run(deployment.bind(args, plan), name=str(args.id), route_prefix=None, _blocking=False)
    return str(args.id)
