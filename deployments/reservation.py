"""What a replica asks of Ray, from its plan and from nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.args import ModelArgs
from deployments.group_places import GroupPlaces
from models.errors import ConfigError
from models.memory.plan import MemoryPlan
from models.placement.slots import RAY_UNITS, booked_bytes, gpu_fraction

_MORE_THAN_HALF = (RAY_UNITS // 2 + 1) / RAY_UNITS


@dataclass(frozen=True, slots=True)
class Reservation:
    """``num_gpus`` of one GPU, 0 for a replica without one; ``memory_bytes`` of its node."""

    num_gpus: float
    memory_bytes: int


def reserve(args: ModelArgs, plan: MemoryPlan, rank: int = 0) -> Reservation:
    """Of a replica, or of one ``rank`` of a group.

    On a GPU the budget's fraction of it, and what the process takes beside it. On a CPU node the budget; with a
    placement, what its replicas share there is asked for once on each node.
    """
    taken = plan.group.ranks[rank] if plan.group else plan
    if plan.device.kind != "cpu":
        return Reservation(_num_gpus(args, plan, taken.budget_bytes, rank), taken.host_bytes)
    places = GroupPlaces(args.id, args.placement, plan.parts).of_rank(rank)
    shared_bytes = taken.shared_bytes if places else 0
    nodes = [place.node for place in places]
    return Reservation(0.0, booked_bytes(taken.budget_bytes - shared_bytes, shared_bytes, nodes))


def _num_gpus(args: ModelArgs, plan: MemoryPlan, budget_bytes: int, rank: int) -> float:
    """More than half of one for a rank without a place: Ray puts onto one GPU what fits on it, but the ranks of a
    group need one each. Those of vLLM are processes of the replica, to which Ray assigns all of them, and only
    whole ones where it is more than one.
    """
    fraction = gpu_fraction(budget_bytes, plan.device)
    if plan.group is None or args.placement:
        return fraction
    if plan.engine == "vllm":
        return 0.0 if rank else float(plan.group.num_ranks)
    return max(fraction, _MORE_THAN_HALF)


def check_reservation(args: ModelArgs, plan: MemoryPlan, reserved: Mapping[str, float], rank: int = 0) -> None:
    """ConfigError when Ray has ``reserved`` less than ``reserve`` asks, which only an override can bring about."""
    asked = reserve(args, plan, rank)
    for name, value, option in (
        ("GPU", asked.num_gpus, "num_gpus"),
        ("memory", asked.memory_bytes, "memory"),
    ):
        if reserved.get(name, 0) < value:
            raise too_little(args, option, reserved.get(name, 0), value)


def too_little(args: ModelArgs, option: str, given: float, planned: float) -> ConfigError:
    """The error for an override of ``option`` that lies below the plan."""
    return ConfigError(
        f"{option} {given:.15g} of {args.id} contradicts its plan, which needs {planned:.15g}",
        remedy=f"leave {option} to the plan, or lower the model's limits or memory in its args",
    )
