"""The memory of one replica as JSON: the part of a plan's report that says what is planned on each device."""

from __future__ import annotations

from cluster.planning.planned import PlannedModel
from models.manifest import Frozen
from models.memory.group_plan import RankPlan
from models.memory.plan import MemoryPlan
from models.memory.terms import MemoryTerm


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


class RankReport(Frozen):
    """What one rank of a group holds: the layers from ``first_layer`` up to ``stop_layer``, which are a ``stage``.

    Of their matrices it has one of ``tensor`` slices, of which ``tensor_index`` 0 is the first.
    """

    rank: int
    stage: int
    first_layer: int
    stop_layer: int
    tensor: int
    tensor_index: int
    terms: tuple[TermReport, ...]
    host_terms: tuple[TermReport, ...]
    total_bytes: int
    host_bytes: int
    budget_bytes: int


class MemoryReport(Frozen):
    """The memory of one replica, and what it asks of Ray for it (null when it can have no place).

    Of a group the sums are those of its rank with most bytes, and ``ranks`` has each.
    """

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
    ranks: tuple[RankReport, ...]


def report_memory(model: PlannedModel, plan: MemoryPlan) -> MemoryReport:
    """``plan`` is the model's."""
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
        ranks=tuple(map(_rank, plan.group.ranks)) if plan.group else (),
    )


def _rank(plan: RankPlan) -> RankReport:
    shard = plan.shard
    return RankReport(
        rank=plan.rank,
        stage=shard.stage,
        first_layer=shard.first_layer,
        stop_layer=shard.stop_layer,
        tensor=shard.degree.tensor,
        tensor_index=shard.tensor_index,
        terms=tuple(map(_term, plan.terms)),
        host_terms=tuple(map(_term, plan.host_terms)),
        total_bytes=plan.total_bytes,
        host_bytes=plan.host_bytes,
        budget_bytes=plan.budget_bytes,
    )


def _term(term: MemoryTerm) -> TermReport:
    return TermReport(name=term.name, bytes=term.bytes, formula=term.formula, shared=term.shared)
