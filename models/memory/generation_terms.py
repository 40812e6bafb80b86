"""The terms of continuous batching, as transformers 5.23 allocates (``PagedAttentionMemoryHandler``, its inputs).

Attention is planned as sdpa runs it, on a GPU too: flash attention, to which transformers switches where it is
installed, needs neither masks nor repeated heads, and so less.
"""

from __future__ import annotations

from models.errors import ConfigError
from models.manifest import ArchitectureFacts, Manifest
from models.memory.kv_cache import CacheLayout, cache_layout, kv_bytes_per_sequence, why_not_paged
from models.memory.terms import FLOAT32_BYTES, MemoryTerm, item_bytes, required_architecture
from models.spec import Limits

_INDEX_BYTES = 8

# While the next tokens are sampled: float32 scores twice, and up to four 8-byte values in which the noise is made.
_SAMPLING_BYTES = 2 * FLOAT32_BYTES + 4 * 8


def page_layout(manifest: Manifest, limits: Limits) -> CacheLayout:
    """How the engine lays out the KV cache. ConfigError when it cannot, or when facts are missing."""
    architecture = required_architecture(manifest)
    bytes_of_item = item_bytes(manifest)
    reason = why_not_paged(architecture)
    if reason is not None:
        sequence_bytes = kv_bytes_per_sequence(architecture, 4096, bytes_of_item)
        raise ConfigError(
            f"{manifest.id} has {reason}, which continuous batching of transformers cannot page "
            f"(4,096 tokens of it keep at least {sequence_bytes:,} B)",
            remedy="use a model of another family, such as Llama, Qwen, Mistral or Gemma 3",
        )
    return cache_layout(architecture, bytes_of_item, limits.page_size)


def generation_terms(
    manifest: Manifest, limits: Limits, max_model_len: int, num_kv_pages: int
) -> tuple[MemoryTerm, ...]:
    """What ``max_num_seqs`` sequences of ``max_model_len`` tokens need, in a cache of ``num_kv_pages`` pages."""
    architecture, bytes_of_item = required_architecture(manifest), item_bytes(manifest)
    layout = page_layout(manifest, limits)
    return (
        _kv_cache(layout, num_kv_pages),
        _attention(architecture, layout, limits, max_model_len, num_kv_pages, bytes_of_item),
        _step_activations(architecture, limits.max_batch_tokens, bytes_of_item),
        _logits(architecture, limits.max_num_seqs, bytes_of_item),
    )


def _kv_cache(layout: CacheLayout, num_pages: int) -> MemoryTerm:
    """Keys and values of all layers, in whole sectors, and two sectors that absorb the writes of padding."""
    total_bytes = layout.total_bytes(num_pages)
    num_sectors = total_bytes // layout.sector_bytes
    kinds = " + ".join(f"{group.num_layers} {group.kind.removesuffix('_attention')}" for group in layout.groups)
    return MemoryTerm(
        "kv_cache",
        total_bytes,
        f"{num_sectors:,} sectors x {layout.sector_bytes:,} B; {num_pages:,} pages x {layout.page_size} tokens "
        f"x {kinds} layers",
    )


def _attention(
    architecture: ArchitectureFacts,
    layout: CacheLayout,
    limits: Limits,
    max_model_len: int,
    num_pages: int,
    bytes_of_item: int,
) -> MemoryTerm:
    """What sdpa attention of one layer reads back, its masks and its indices.

    Grouped heads are read, then repeated: 2 x [heads, tokens, head_dim] and [kv_heads, tokens, head_dim]; others
    are read as they are. For each kind of layer a mask [batch tokens, readable + batch tokens] and an index of
    8 B, both as long as if the whole cache were read.
    """
    heads, kv_heads = architecture.num_attention_heads, architecture.num_key_value_heads
    live_heads = 2 * heads + (kv_heads if heads > kv_heads else 0)
    num_read = layout.num_read_tokens(limits.max_num_seqs, max_model_len, limits.max_batch_tokens)
    per_token = live_heads * architecture.head_dim * bytes_of_item
    length = layout.num_readable_tokens(num_pages) + limits.max_batch_tokens
    per_kind = length * (limits.max_batch_tokens * bytes_of_item + _INDEX_BYTES)
    return MemoryTerm(
        "attention",
        num_read * per_token + len(layout.groups) * per_kind,
        f"{num_read:,} tokens x {per_token:,} B read back + {len(layout.groups)} x mask "
        f"{limits.max_batch_tokens} x {length:,}",
    )


def _step_activations(architecture: ArchitectureFacts, batch_tokens: int, bytes_of_item: int) -> MemoryTerm:
    """One layer on a whole step, [batch tokens, widths]: states, projections, gated MLP, and a norm in float32.

    In a mixture of experts each token goes through several, and its state is gathered and scattered for each.
    """
    hidden = architecture.hidden_size
    projections = (architecture.num_attention_heads + 2 * architecture.num_key_value_heads) * architecture.head_dim
    dense = 3 * (architecture.intermediate_size or 4 * hidden)
    experts = architecture.experts
    routed = (
        0 if experts is None else 3 * experts.active_intermediate_size + 2 * experts.num_experts_per_token * hidden
    )
    per_token = (4 * hidden + projections + max(dense, routed)) * bytes_of_item + 2 * hidden * FLOAT32_BYTES
    return MemoryTerm("activations", batch_tokens * per_token, f"{batch_tokens} batch tokens x {per_token:,} B")


def _logits(architecture: ArchitectureFacts, num_seqs: int, bytes_of_item: int) -> MemoryTerm:
    """One row of scores for each sequence: as computed, and what the sampling of the next token makes of them."""
    per_seq = architecture.vocab_size * (bytes_of_item + _SAMPLING_BYTES)
    return MemoryTerm("logits", num_seqs * per_seq, f"{num_seqs} sequences x {per_seq:,} B")
