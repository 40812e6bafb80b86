"""What takes memory in a replica: one function for each term of the sum, shapes beside the products.

Terms of continuous batching follow what transformers 5.23 allocates (its ``PagedAttentionMemoryHandler``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from models.errors import ConfigError
from models.manifest import ArchitectureFacts, Manifest
from models.spec import EngineName, Limits

MIB = 1024**2

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}

# Proportional set size of a Ray replica process with next to no model (370, 367 and 128 MiB, measured on Linux
# x86-64 by benchmarks/runtime_overhead.py), and room for what the allocator keeps after a peak.
RUNTIME_BYTES: dict[EngineName, int] = {
    "transformers": 576 * MIB,
    "embedding": 448 * MIB,
    "onnx": 320 * MIB,
}

# Float32 values that live at once for each token and dimension when ONNX Runtime runs an encoder whose attention
# is not fused: measured on MiniLM at 256 tokens by benchmarks/runtime_overhead.py.
ONNX_VALUES_PER_DIMENSION = 52

_FLOAT32 = 4
_INT64 = 8
_TRASH_SECTORS = 2


@dataclass(frozen=True, slots=True)
class MemoryTerm:
    """One summand: what it is for, its bytes, and the product that it came from.

    ``shared``: replicas of the version on one CPU node hold these bytes once between them.
    """

    name: str
    bytes: int
    formula: str
    shared: bool = False


def weights(manifest: Manifest) -> MemoryTerm:
    """The tensors as they are stored; replicas on one node share their pages on the CPU."""
    return MemoryTerm("weights", manifest.weight_bytes, f"{manifest.num_parameters:,} parameters as stored")


def runtime(engine: EngineName) -> MemoryTerm:
    """The process before it has a model."""
    return MemoryTerm("runtime", RUNTIME_BYTES[engine], "Python, Ray and libraries, measured")


def kv_bytes_per_token(architecture: ArchitectureFacts, item_bytes: int) -> int:
    """Keys and values of one token over all layers: 2 x layers x KV heads x head_dim x item size."""
    return (
        2 * architecture.num_hidden_layers * architecture.num_key_value_heads * architecture.head_dim * item_bytes
    )


def generation_terms(manifest: Manifest, limits: Limits, max_model_len: int) -> tuple[tuple[MemoryTerm, ...], int]:
    """The terms of continuous batching, and how many KV pages they hold. ConfigError when facts are missing."""
    architecture = _architecture(manifest)
    item_bytes = _item_bytes(manifest)
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


def _item_bytes(manifest: Manifest) -> int:
    """Bytes of one element of the weights, and so of the KV cache and the activations."""
    if manifest.dtype not in ITEM_BYTES:
        raise ConfigError(
            f"{manifest.id} has weights of dtype {manifest.dtype}, in which the engine cannot compute",
            remedy=f"use weights in one of {', '.join(ITEM_BYTES)}",
        )
    return ITEM_BYTES[manifest.dtype]


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


def batch_activations(manifest: Manifest, limits: Limits, max_model_len: int) -> MemoryTerm:
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


def session(manifest: Manifest) -> MemoryTerm:
    """ONNX Runtime's own copy of the weights: it may turn quantised constants into float32 when it optimises."""
    return MemoryTerm(
        "session", manifest.num_parameters * _FLOAT32, f"{manifest.num_parameters:,} parameters x {_FLOAT32} B"
    )


def graph_activations(manifest: Manifest, limits: Limits, max_model_len: int) -> MemoryTerm:
    """Peak of one full batch through an ONNX encoder; for any other graph, as much as its weights."""
    if manifest.embedding is None:
        return MemoryTerm("activations", manifest.weight_bytes, "as much as the weights: any graph, any shapes")
    per_token = ONNX_VALUES_PER_DIMENSION * manifest.embedding.dimension * _FLOAT32
    return MemoryTerm(
        "activations",
        limits.max_batch_size * max_model_len * per_token,
        f"{limits.max_batch_size} inputs x {max_model_len} tokens x {per_token:,} B",
    )
