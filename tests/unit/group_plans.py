"""Plans of groups whose ranks differ in their bytes, for what follows from a plan and not from its terms."""

from __future__ import annotations

from dataclasses import replace

from models.memory.group_plan import GroupPlan, RankPlan
from models.memory.plan import MemoryPlan
from models.parallel.layout import Degree, GroupLayout

MIB = 1024**2


def grouped(plan: MemoryPlan, tensor: int, pipeline: int) -> MemoryPlan:
    """``plan``, divided: rank r takes r MiB less than the whole replica did."""
    layout = GroupLayout(Degree(tensor, pipeline), tuple(range(1, pipeline + 1)))
    ranks = tuple(
        RankPlan(rank, layout.shard(rank), plan.terms, plan.host_terms, plan.budget_bytes - rank * MIB)
        for rank in range(layout.num_ranks)
    )
    return replace(plan, group=GroupPlan(layout, ranks))
