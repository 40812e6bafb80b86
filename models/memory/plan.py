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
from models.memory.inverse import limits_within, pages_within
from models.memory.measured import Planned
from models.memory.overheads import MEASURED, Overheads
from models.memory.sizing import Replica
from models.memory.terms import MemoryTerm
from models.spec import EngineName, Limits
from models.types import VersionId

ANY_CPU = cpu_device(1 << 62, "any node")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The planned bytes of one replica, and the limits that they hold for.

    ``terms`` lie on the device, ``host_terms`` in the memory of the node beside a GPU (none on a CPU node).
    ``budget_bytes`` is what the replica may take of the device: the sum of the terms, or what the operator gave.
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

    @property
    def total_bytes(self) -> int:
        """On the device."""
        return sum(term.bytes for term in self.terms)

    @property
    def unused_bytes(self) -> int:
        """What the budget has and no term takes."""
        return self.budget_bytes - self.total_bytes

    @property
    def shared_bytes(self) -> int:
        """The part of the device's bytes that replicas of the version on one node hold once between them."""
        return sum(term.bytes for term in self.terms if term.shared)

    @property
    def host_bytes(self) -> int:
        """In the node's memory, beside a GPU."""
        return sum(term.bytes for term in self.host_terms)

    @property
    def kv_cache_bytes(self) -> int:
        """Of the whole KV cache; 0 for an engine without one."""
        return sum(term.bytes for term in self.terms if term.name == "kv_cache")

    @property
    def planned(self) -> Planned:
        """What the replica's measurements are compared with."""
        return Planned(str(self.id), self.terms, self.budget_bytes, self.host_bytes)

    @property
    def max_concurrency(self) -> int:
        """Requests that one replica works on at once."""
        return self.max_num_seqs if self.engine == "transformers" else self.max_batch_size

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
    """The plan for one replica of ``manifest`` on ``device``: from ``limits``, or within ``budget_bytes``.

    With a budget, limits that were not set follow from it (``inverse.limits_within`` has the rule) and the KV
    cache takes what the other terms leave. ConfigError when a limit exceeds what the model can do, or when facts
    are missing; DoesNotFitError when the limits that were set need more than the budget.
    """
    replica = Replica(manifest, engine, device, overheads)
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
    )


def cheaper(
    plan: MemoryPlan, manifest: Manifest, limits: Limits, available_bytes: int, overheads: Overheads = MEASURED
) -> tuple[Change, ...]:
    """What makes ``plan`` fit ``available_bytes``, the smallest sacrifice first; empty when nothing does."""
    planned = {
        "max_model_len": plan.max_model_len,
        "max_num_seqs": plan.max_num_seqs,
        "max_batch_size": plan.max_batch_size,
    }
    replica = Replica(manifest, plan.engine, plan.device, overheads)
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
    changes = cheaper(plan, manifest, limits, available_bytes, overheads)
    raise DoesNotFitError(
        f"{plan.id} needs {format_bytes(plan.budget_bytes)} ({terms}), "
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
