"""How many bytes one replica will need, from the manifest, the limits and the device alone.

Pure and torch-free. ``memory_terms``, ``generation_terms`` and ``kv_cache`` have the terms of the sum,
``inverse`` the way back from a budget to limits, ``changes`` what would make a plan smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import DoesNotFitError
from models.hardware import Device, cpu_device
from models.manifest import Manifest
from models.memory.changes import Change, cheaper_changes
from models.memory.dividing import divide
from models.memory.group_plan import GroupPlan, RankPlan
from models.memory.inverse import limits_within, pages_within
from models.memory.measured import Planned
from models.memory.overheads import MEASURED, Overheads
from models.memory.sizing import Replica, sum_bytes
from models.memory.terms import MemoryTerm, TermSums, sum_by_name
from models.parallel.layout import Degree
from models.spec import PAGED_ENGINES, EngineName, Limits
from models.types import VersionId

ANY_CPU = cpu_device(1 << 62, "any node")
WHOLE = Degree()


@dataclass(frozen=True, slots=True)
class MemoryPlan(TermSums):
    """The planned bytes of one replica, and the limits that they hold for.

    ``terms`` lie on the device, ``host_terms`` in the memory of the node beside a GPU (none on a CPU node).
    ``budget_bytes`` is what the replica may take of the device: the sum of the terms, or what the operator gave.
    Where a ``group`` of ranks is the replica, terms and budget are those of its largest rank.
    """

    id: VersionId
    engine: EngineName
    device: Device
    terms: tuple[MemoryTerm, ...]
    host_terms: tuple[MemoryTerm, ...]
    budget_bytes: int
    max_model_len: int
    max_num_seqs: int
    max_batch_tokens: int
    max_batch_size: int
    page_size: int
    num_kv_pages: int
    group: GroupPlan | None = None

    @property
    def unused_bytes(self) -> int:
        """What the budget has and no term takes."""
        return self.budget_bytes - self.total_bytes

    @property
    def parts(self) -> Degree:
        """How the ranks of a replica lie on nodes: ``pipeline`` parts of ``tensor`` ranks, each on one node.

        The stages of a group, but vLLM's ranks are processes of one node.
        """
        degree = self.group.degree if self.group else WHOLE
        return degree.in_one_part if self.engine == "vllm" else degree

    @property
    def planned(self) -> Planned:
        """What the replica's measurements are compared with: of a group rank 0, of vLLM's, whose ranks the
        replica has started, all of them.
        """
        ranks = self.group.ranks if self.group else (self,)
        own = ranks if self.engine == "vllm" else ranks[:1]
        return Planned(
            str(self.id),
            sum_by_name(term for rank in own for term in rank.terms),
            sum(rank.budget_bytes for rank in own),
            sum(rank.host_bytes for rank in own),
        )

    @property
    def max_concurrency(self) -> int:
        """Requests that one replica works on at once."""
        return self.max_num_seqs if self.engine in PAGED_ENGINES else self.max_batch_size

    def term(self, name: str) -> MemoryTerm:
        """The term called ``name``; KeyError if the plan has none."""
        for term in self.terms:
            if term.name == name:
                return term
        raise KeyError(name)


def plan_memory(
    manifest: Manifest,
    limits: Limits,
    engine: EngineName,
    *,
    device: Device = ANY_CPU,
    budget_bytes: int | None = None,
    overheads: Overheads = MEASURED,
) -> MemoryPlan:
    """The plan for one replica of ``manifest`` on ``device``, in one process. As ``plan_replica``."""
    return plan_replica(Replica(manifest, engine, device, overheads), limits, budget_bytes)


def plan_replica(
    replica: Replica, limits: Limits, budget_bytes: int | None = None, degree: Degree = WHOLE
) -> MemoryPlan:
    """The plan from ``limits``, or within ``budget_bytes``, which divided by ``degree`` each rank may take.

    With a budget, limits that were not set follow from it (``inverse.limits_within`` has the rule) and the KV
    cache takes what the other terms leave. ConfigError when a limit exceeds what the model can do, when it cannot
    be divided so, or when facts are missing; DoesNotFitError when the limits that were set need more than the
    budget.
    """
    replica = divide(replica, limits, degree)
    if budget_bytes is None:
        limits = limits.model_copy(update={"max_model_len": replica.model_len(limits)})
        return _plan(replica, limits, replica.num_pages(limits), None)
    limits = limits_within(replica, limits, budget_bytes)
    return _plan(replica, limits, pages_within(replica, limits, budget_bytes), budget_bytes)


def _plan(replica: Replica, limits: Limits, num_kv_pages: int, budget_bytes: int | None) -> MemoryPlan:
    terms = replica.terms(limits, num_kv_pages)
    return MemoryPlan(
        id=replica.manifest.id,
        engine=replica.engine,
        device=replica.device,
        terms=terms,
        host_terms=replica.host_terms(),
        budget_bytes=sum(term.bytes for term in terms) if budget_bytes is None else budget_bytes,
        max_model_len=replica.model_len(limits),
        max_num_seqs=limits.max_num_seqs,
        max_batch_tokens=limits.max_batch_tokens,
        max_batch_size=limits.max_batch_size,
        page_size=limits.page_size,
        num_kv_pages=num_kv_pages,
        group=_group_plan(replica, limits, num_kv_pages, budget_bytes),
    )


def _group_plan(replica: Replica, limits: Limits, num_kv_pages: int, budget_bytes: int | None) -> GroupPlan | None:
    """Without a budget, what each rank may take is what it needs."""
    layout = replica.group
    if layout is None:
        return None
    length, ranks = replica.model_len(limits), []
    for rank in range(layout.num_ranks):
        process = replica.process(rank)
        terms = process.terms(limits, length, num_kv_pages)
        budget = sum_bytes(terms) if budget_bytes is None else budget_bytes
        host_terms = process.host_terms(sleeps=replica.sleeps)
        ranks.append(RankPlan(rank, layout.shard(rank), terms, host_terms, budget))
    return GroupPlan(layout, tuple(ranks))


def cheaper(
    plan: MemoryPlan, manifest: Manifest, limits: Limits, available_bytes: int, overheads: Overheads = MEASURED
) -> tuple[Change, ...]:
    """What makes ``plan`` fit ``available_bytes``, the smallest sacrifice first; empty when nothing does."""
    planned = {
        "max_model_len": plan.max_model_len,
        "max_num_seqs": plan.max_num_seqs,
        "max_batch_size": plan.max_batch_size,
    }
    layout = plan.group.layout if plan.group else None
    replica = Replica(manifest, plan.engine, plan.device, overheads, layout)
    return cheaper_changes(replica, limits.model_copy(update=planned), available_bytes)


def check_fits(
    plan: MemoryPlan,
    manifest: Manifest,
    limits: Limits,
    available_bytes: int,
    where: str,
    overheads: Overheads = MEASURED,
) -> None:
    """DoesNotFitError, with the sum, the limit and what to change, if the plan exceeds ``available_bytes``.

    ``overheads`` are those of the plan.
    """
    if plan.budget_bytes <= available_bytes:
        return
    terms = " + ".join(f"{term.name} {format_bytes(term.bytes)}" for term in plan.terms)
    rank = f" on a device ({plan.group.degree})" if plan.group else ""
    changes = cheaper(plan, manifest, limits, available_bytes, overheads)
    raise DoesNotFitError(
        f"{plan.id} needs {format_bytes(plan.budget_bytes)}{rank} ({terms}), "
        f"but {where} has {format_bytes(available_bytes)}",
        remedy=f"{changes[0]}, or use a larger node"
        if changes
        else "use a larger node: the model does not fit with any limits",
    )


def format_bytes(num_bytes: int) -> str:
    """Binary units with one decimal: ``1.5 GiB``."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
