"""How many bytes one replica will need, from the manifest and the limits alone.

Pure and torch-free; ``memory_terms`` has the terms of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ConfigError, DoesNotFitError
from models.hardware import Device, cpu_device
from models.manifest import Manifest
from models.memory_terms import (
    MemoryTerm,
    batch_activations,
    generation_terms,
    graph_activations,
    runtime,
    session,
    weights,
)
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
    def shared_bytes(self) -> int:
        """The part of the device's bytes that replicas of the version on one node hold once between them."""
        return sum(term.bytes for term in self.terms if term.shared)

    @property
    def host_bytes(self) -> int:
        """In the node's memory, beside a GPU."""
        return sum(term.bytes for term in self.host_terms)

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
) -> MemoryPlan:
    """The plan for one replica of ``manifest`` on ``device``: from ``limits``, or within ``budget_bytes``.

    ConfigError when a limit exceeds what the model can do, or when the manifest lacks the facts for a KV cache.
    """
    max_model_len = resolve_max_model_len(manifest, limits)
    limits = limits.model_copy(update={"max_model_len": max_model_len})
    terms, num_kv_pages = _engine_terms(manifest, limits, engine, max_model_len)
    terms = (weights(manifest), *terms, runtime(engine))
    return MemoryPlan(
        id=manifest.id,
        engine=engine,
        device=device,
        terms=terms,
        host_terms=(),
        budget_bytes=budget_bytes or sum(term.bytes for term in terms),
        max_model_len=max_model_len,
        max_num_seqs=limits.max_num_seqs,
        max_batch_tokens=limits.max_batch_tokens,
        max_batch_size=limits.max_batch_size,
        page_size=limits.page_size,
        num_kv_pages=num_kv_pages,
    )


def _engine_terms(
    manifest: Manifest, limits: Limits, engine: EngineName, max_model_len: int
) -> tuple[tuple[MemoryTerm, ...], int]:
    """What depends on the engine, and its number of KV pages."""
    if engine == "transformers":
        return generation_terms(manifest, limits, max_model_len)
    if engine == "onnx":
        return (session(manifest), graph_activations(manifest, limits, max_model_len)), 0
    return (batch_activations(manifest, limits, max_model_len),), 0


def resolve_max_model_len(manifest: Manifest, limits: Limits) -> int:
    """The context length in tokens: the operator's, or what the model was trained for.

    ConfigError when the operator's exceeds the model's.
    """
    trained = _trained_max_len(manifest)
    wanted = limits.max_model_len
    if wanted is None:
        return trained or 1
    if trained is not None and wanted > trained:
        raise ConfigError(
            f"limits.max_model_len of {manifest.id} is {wanted}, but it was trained for {trained} tokens",
            remedy=f"set limits.max_model_len to {trained} or less",
        )
    return wanted


def _trained_max_len(manifest: Manifest) -> int | None:
    if manifest.embedding is not None:
        return manifest.embedding.max_tokens
    return manifest.architecture.max_position_embeddings if manifest.architecture else None


def check_fits(plan: MemoryPlan, manifest: Manifest, limits: Limits, available_bytes: int, where: str) -> None:
    """DoesNotFitError, with the sum, the limit and what to change, if the plan exceeds ``available_bytes``."""
    if plan.total_bytes <= available_bytes:
        return
    terms = " + ".join(f"{term.name} {format_bytes(term.bytes)}" for term in plan.terms)
    raise DoesNotFitError(
        f"{plan.id} needs {format_bytes(plan.total_bytes)} ({terms}), "
        f"but {where} has {format_bytes(available_bytes)}",
        remedy=_remedy(plan, manifest, limits, available_bytes),
    )


def _remedy(plan: MemoryPlan, manifest: Manifest, limits: Limits, available_bytes: int) -> str:
    field = "max_num_seqs" if plan.engine == "transformers" else "max_batch_size"
    largest = _largest_that_fits(plan, manifest, limits, available_bytes, field)
    if largest:
        return f"set limits.{field} to {largest} or less, or use a larger node"
    shorter = limits.model_copy(update={field: 1})
    length = _largest_that_fits(plan, manifest, shorter, available_bytes, "max_model_len")
    if length:
        return f"set limits.{field} to 1 and limits.max_model_len to {length} or less, or use a larger node"
    return "use a larger node, or weights in a smaller dtype: the model does not fit with any limits"


def _largest_that_fits(
    plan: MemoryPlan, manifest: Manifest, limits: Limits, available_bytes: int, field: str
) -> int:
    """The largest value of ``limits.<field>`` below its present one that fits, by bisection; 0 if none does."""
    low = 0
    high = plan.max_model_len if field == "max_model_len" else getattr(limits, field)
    while high - low > 1:
        middle = (low + high) // 2
        tried = plan_memory(manifest, limits.model_copy(update={field: middle}), plan.engine)
        low, high = (middle, high) if tried.total_bytes <= available_bytes else (low, middle)
    return low


def format_bytes(num_bytes: int) -> str:
    """Binary units with one decimal: ``1.5 GiB``."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
