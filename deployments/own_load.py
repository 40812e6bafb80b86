"""What a replica tells of its own load, in the words of the autoscaler. Pure."""

from __future__ import annotations

from deployments.scaling.batch_times import BatchTimes
from deployments.scaling.load import BatchUse, ReplicaLoad, TokenUse
from deployments.work_meter import Work
from models.memory.plan import MemoryPlan
from models.spec import PAGED_ENGINES
from models.types import EngineStats


def own_load(plan: MemoryPlan, stats: EngineStats, work: Work, times: BatchTimes) -> ReplicaLoad:
    """Now, and over the last seconds."""
    if plan.engine in PAGED_ENGINES:
        return ReplicaLoad(
            replica="",
            age_s=0.0,
            num_running=stats.num_running,
            num_waiting=stats.num_waiting,
            max_num_seqs=plan.max_num_seqs,
            finished_per_s=work.finished_per_s,
            service_s=work.service_s,
            tokens=_tokens(plan, stats, work),
        )
    base_s, item_s = times.line() or (None, None)
    return ReplicaLoad(
        replica="",
        age_s=0.0,
        num_running=work.num_running,
        num_waiting=work.num_waiting,
        max_num_seqs=batch_places(plan),
        finished_per_s=work.finished_per_s,
        service_s=work.service_s,
        batches=BatchUse(work.busy_share, work.queue_s, base_s, item_s),
    )


def batch_places(plan: MemoryPlan) -> int:
    """The most that is computed together: tensors of two requests never are."""
    return plan.max_batch_size if plan.engine == "embedding" else 1


def kv_tokens(plan: MemoryPlan) -> int | None:
    """What the KV cache of one replica holds; None where there is none."""
    return plan.num_kv_pages * plan.page_size or None


def _tokens(plan: MemoryPlan, stats: EngineStats, work: Work) -> TokenUse:
    return TokenUse(
        held_tokens=stats.num_kv_pages_used * plan.page_size,
        max_tokens=stats.num_kv_pages * plan.page_size,
        waiting_tokens=stats.num_waiting_tokens,
        prompt_tokens=work.prompt_tokens,
        read_tokens_per_s=work.read_tokens_per_s,
    )
