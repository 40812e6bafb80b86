"""What happens to the replicas that run when their model is deployed anew: they go on until others serve, or end
first. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from deployments.args import ModelArgs
from deployments.routing.bundles import Bundles
from deployments.routing.group_shortage import GroupNeed, explain_group, is_group_lacking
from deployments.routing.shortage import FreeNode
from deployments.routing.states import ApplicationView
from models.errors import ConfigError, ConflictError
from models.memory.plan import MemoryPlan

# Of the replicas that are wanted, rounded up by Serve: one more than these at a time.
SURGE_PERCENT = 1

_REMEDY = "write update: replace, which stops the old one first, or make room; what runs goes on until then"


def surges(args: ModelArgs, plan: MemoryPlan) -> bool:
    """Whether a replica goes on until another one serves in its place."""
    return args.update == "surge" or (args.update == "auto" and plan.group is not None)


def is_replaced(args: ModelArgs, live: ApplicationView) -> bool:
    """Whether replicas of ``live`` run, and Serve will start others in their place."""
    return live.num_running > 0 and (live.card is None or live.card.args_digest != args.digest)


def check_ranks(args: ModelArgs, plan: MemoryPlan, live: ApplicationView) -> None:
    """ConflictError when the replicas of ``live`` are divided otherwise than those of ``plan``."""
    num_ranks = plan.group.num_ranks if plan.group else 1
    if live.card and live.card.num_ranks != num_ranks:
        raise ConflictError(
            f"{args.id} runs with {_ranks(live.card.num_ranks)}, and would have {num_ranks}",
            remedy="write it as a version of its own, and let a rollout go over to it; what runs goes on",
        )


def check_room(args: ModelArgs, plan: MemoryPlan, bundles: Bundles | None, nodes: Sequence[FreeNode]) -> None:
    """ConfigError when the replicas that run are to go on until others serve, and there is no room for these.

    With ``update: surge`` room may come later, so that only places that the plan does not have are missed.
    ``bundles`` are those of a group.
    """
    if not surges(args, plan):
        return
    if not has_spare_place(args, plan):
        raise _refusal(args, f"its placement has {len(args.placement)} places, which they have taken")
    need = GroupNeed.of(bundles) if bundles else None
    if args.update == "auto" and need is not None and is_group_lacking(need, nodes):
        raise _refusal(args, explain_group(need, nodes))


def has_spare_place(args: ModelArgs, plan: MemoryPlan) -> bool:
    """Whether one replica more than ``max_replicas`` has a place. Ranks on CPUs take no places of their own."""
    if not args.placement or (plan.group and plan.device.kind == "cpu"):
        return True
    return len(args.placement) >= (args.max_replicas + 1) * plan.parts.pipeline


def _refusal(args: ModelArgs, why: str) -> ConfigError:
    message = f"what runs of {args.id} is to go on until another one serves, and there is no room for both: {why}"
    return ConfigError(message, remedy=_REMEDY)


def _ranks(number: int) -> str:
    return "1 rank" if number == 1 else f"{number} ranks"
