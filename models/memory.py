"""How many bytes one replica will need, from the manifest and the limits alone.

Pure and torch-free. Each function below is one term of the sum; shapes stand beside the products.
Terms for continuous batching follow what transformers 5.23 allocates (its ``PagedAttentionMemoryHandler``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from models.errors import ConfigError, DoesNotFitError
from models.manifest import ArchitectureFacts, Manifest
from models.spec import EngineName, Limits
from models.types import VersionId

GIB = 1024**3
MIB = 1024**2

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "float64": 8}

# Proportional set size of a Ray replica process with next to no model (370, 367 and 128 MiB, measured on Linux
# x86-64 by benchmarks/runtime_overhead.py), and room for what the allocator keeps after a peak.
RUNTIME_BYTES: dict[EngineName, int] = {
    "transformers": 512 * MIB,
    "embedding": 448 * MIB,
    "onnx": 160 * MIB,
}

# Float32 values that live at once for each token and dimension when ONNX Runtime runs an encoder whose attention
# is not fused: measured on MiniLM at 256 tokens by benchmarks/runtime_overhead.py.
ONNX_VALUES_PER_DIMENSION = 72

_FLOAT32 = 4
_INT64 = 8
_TRASH_SECTORS = 2


@dataclass(frozen=True, slots=True)
class MemoryTerm:
    """One summand: what it is for, its bytes, and the product that it came from."""

    name: str
    bytes: int
    formula: str


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The planned bytes of one replica, and the limits that they hold for."""

    id: VersionId
    engine: EngineName
    terms: tuple[MemoryTerm, ...]
    max_model_len: int
    max_num_seqs: int
    page_size: int
    num_kv_pages: int

    @property
    def total_bytes(self) -> int:
        return sum(term.bytes for term in self.terms)

    def term(self, name: str) -> MemoryTerm:
        """The term called ``name``; KeyError if the plan has none."""
        for term in self.terms:
            if term.name == name:
                return term
        raise KeyError(name)


def plan_memory(manifest: Manifest, limits: Limits, engine: EngineName) -> MemoryPlan:
    """The plan for one replica of ``manifest`` under ``limits``.

    ConfigError when a limit exceeds what the model can do, or when the manifest lacks the facts for a KV cache.
    """
    max_model_len = resolve_max_model_len(manifest, limits)
    limits = limits.model_copy(update={"max_model_len": max_model_len})
    if engine == "transformers":
        terms, num_kv_pages = _generation_terms(manifest, limits, max_model_len)
    elif engine == "onnx":
        terms, num_kv_pages = (_graph_activations(manifest, limits, max_model_len),), 0
    else:
        terms, num_kv_pages = (_batch_activations(manifest, limits, max_model_len),), 0
    weights = MemoryTerm("weights", manifest.weight_bytes, f"{manifest.num_parameters:,} parameters as stored")
    runtime = MemoryTerm("runtime", RUNTIME_BYTES[engine], "Python, Ray and libraries, measured")
    return MemoryPlan(
        id=manifest.id,
        engine=engine,
        terms=(weights, *terms, runtime),
        max_model_len=max_model_len,
        max_num_seqs=limits.max_num_seqs,
        page_size=limits.page_size,
        num_kv_pages=num_kv_pages,
    )


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


def kv_bytes_per_token(architecture: ArchitectureFacts, item_bytes: int) -> int:
    """Keys and values of one token over all layers: 2 x layers x KV heads x head_dim x item size."""
    return (
        2 * architecture.num_hidden_layers * architecture.num_key_value_heads * architecture.head_dim * item_bytes
    )


def _generation_terms(
    manifest: Manifest, limits: Limits, max_model_len: int
) -> tuple[tuple[MemoryTerm, ...], int]:
    architecture = _architecture(manifest)
    item_bytes = ITEM_BYTES.get(manifest.dtype, _FLOAT32)
    pages_per_seq = ceil(max_model_len / limits.page_size)
    num_pages = limits.max_num_seqs * pages_per_seq
    terms = (
        _kv_cache(architecture, limits, pages_per_seq, item_bytes),
        _attention_workspace(architecture, limits, num_pages * limits.page_size, item_bytes),
        _step_activations(architecture, limits, item_bytes),
        _logits(architecture, limits, item_bytes),
    )
    return terms, num_pages


def _architecture(manifest: Manifest) -> ArchitectureFacts:
    if manifest.architecture is None:
        raise ConfigError(
            f"{manifest.id} has no config.json, so its memory cannot be planned",
            remedy="import it from a source with a config.json, or from a GGUF file",
        )
    return manifest.architecture


def _kv_cache(architecture: ArchitectureFacts, limits: Limits, pages_per_seq: int, item_bytes: int) -> MemoryTerm:
    """Pages for every sequence at full length, and two pages that absorb the writes of padding."""
    per_token = kv_bytes_per_token(architecture, item_bytes)
    num_pages = limits.max_num_seqs * pages_per_seq + _TRASH_SECTORS
    return MemoryTerm(
        "kv_cache",
        num_pages * limits.page_size * per_token,
        f"({limits.max_num_seqs} sequences x {pages_per_seq} pages + {_TRASH_SECTORS}) "
        f"x {limits.page_size} tokens x {per_token:,} B",
    )


def _attention_workspace(
    architecture: ArchitectureFacts, limits: Limits, num_cached_tokens: int, item_bytes: int
) -> MemoryTerm:
    """What sdpa attention of one layer reads back: K and V repeated to all heads, V itself, and the mask.

    K, V: [heads, cached + batch tokens, head_dim]; mask: [batch tokens, cached + batch tokens].
    """
    num_tokens = num_cached_tokens + limits.max_batch_tokens
    heads = 2 * architecture.num_attention_heads + architecture.num_key_value_heads
    per_token = heads * architecture.head_dim * item_bytes + _INT64
    mask = limits.max_batch_tokens * num_tokens * item_bytes
    return MemoryTerm(
        "attention",
        num_tokens * per_token + mask,
        f"{num_tokens:,} tokens x {per_token:,} B read back + mask {limits.max_batch_tokens} x {num_tokens:,}",
    )


def _step_activations(architecture: ArchitectureFacts, limits: Limits, item_bytes: int) -> MemoryTerm:
    """Hidden states, attention projections and the gated MLP of one layer: [max_batch_tokens, widths]."""
    projections = (architecture.num_attention_heads + 2 * architecture.num_key_value_heads) * architecture.head_dim
    mlp = 3 * (architecture.intermediate_size or 4 * architecture.hidden_size)
    per_token = (4 * architecture.hidden_size + projections + mlp) * item_bytes
    return MemoryTerm(
        "activations",
        limits.max_batch_tokens * per_token,
        f"{limits.max_batch_tokens} batch tokens x {per_token:,} B",
    )


def _logits(architecture: ArchitectureFacts, limits: Limits, item_bytes: int) -> MemoryTerm:
    """One row for each sequence: as computed, in float32, and three float32 copies while sampling."""
    per_seq = architecture.vocab_size * (item_bytes + 4 * _FLOAT32)
    return MemoryTerm("logits", limits.max_num_seqs * per_seq, f"{limits.max_num_seqs} sequences x {per_seq:,} B")


def _batch_activations(manifest: Manifest, limits: Limits, max_model_len: int) -> MemoryTerm:
    """Peak of one full batch through an encoder layer.

    States and MLP: [batch, tokens, 4 x hidden + 2 x intermediate]; scores: 2 x [batch, heads, tokens, tokens].
    """
    architecture = _architecture(manifest)
    num_tokens = limits.max_batch_size * max_model_len
    widths = 4 * architecture.hidden_size + 2 * (architecture.intermediate_size or 4 * architecture.hidden_size)
    scores = 2 * architecture.num_attention_heads * max_model_len
    return MemoryTerm(
        "activations",
        num_tokens * (widths + scores) * _FLOAT32,
        f"{limits.max_batch_size} inputs x {max_model_len} tokens x {(widths + scores) * _FLOAT32:,} B",
    )


def _graph_activations(manifest: Manifest, limits: Limits, max_model_len: int) -> MemoryTerm:
    """Peak of one full batch through an ONNX encoder; for any other graph, as much as its weights."""
    if manifest.embedding is None:
        return MemoryTerm("activations", manifest.weight_bytes, "as much as the weights: any graph, any shapes")
    per_token = ONNX_VALUES_PER_DIMENSION * manifest.embedding.dimension * _FLOAT32
    return MemoryTerm(
        "activations",
        limits.max_batch_size * max_model_len * per_token,
        f"{limits.max_batch_size} inputs x {max_model_len} tokens x {per_token:,} B",
    )


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
