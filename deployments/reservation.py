"""What a replica asks of Ray, from its plan and from nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.args import ModelArgs
from models.errors import ConfigError
from models.memory.plan import MemoryPlan
from models.placement.slots import booked_bytes, gpu_fraction


@dataclass(frozen=True, slots=True)
class Reservation:
    """``num_gpus`` of one GPU, 0 for a replica without one; ``memory_bytes`` of its node."""

    num_gpus: float
    memory_bytes: int


def reserve(args: ModelArgs, plan: MemoryPlan) -> Reservation:
    """On a GPU the budget's fraction of it, and what the process takes beside it. On a CPU node the budget; with a
    placement, what its replicas share there is asked for once on each node."""
    if plan.device.kind != "cpu":
        return Reservation(gpu_fraction(plan.budget_bytes, plan.device), plan.host_bytes)
    nodes = [place.node for place in args.placement]
    shared_bytes = plan.shared_bytes if nodes else 0
    return Reservation(0.0, booked_bytes(plan.budget_bytes - shared_bytes, shared_bytes, nodes))


def check_reservation(args: ModelArgs, plan: MemoryPlan, reserved: Mapping[str, float]) -> None:
    """ConfigError when Ray has ``reserved`` less than ``reserve`` asks, which only an override can bring about."""
    asked = reserve(args, plan)
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
