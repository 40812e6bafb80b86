"""The terms of continuous batching, as transformers 5.23 allocates (``PagedAttentionMemoryHandler``, its inputs).

Attention is planned as sdpa runs it, on a GPU too: flash attention, to which transformers switches where it is
installed, needs neither masks nor repeated heads, and so less.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ConfigError
from models.manifest import ArchitectureFacts, Manifest
from models.memory.kv_cache import CacheLayout, cache_layout, kv_bytes_per_sequence, why_not_paged
from models.memory.role import ALONE, Role
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


@dataclass(frozen=True, slots=True)
class _Step:
    """What a process computes at once. ``facts`` are of what lies in it, ``limits`` of one step."""

    facts: ArchitectureFacts
    item_bytes: int
    layout: CacheLayout
    limits: Limits
    max_model_len: int
    num_pages: int
    role: Role


def generation_terms(
    manifest: Manifest, limits: Limits, max_model_len: int, num_kv_pages: int, role: Role = ALONE
) -> tuple[MemoryTerm, ...]:
    """What sequences of ``max_model_len`` tokens need, in a cache of ``num_kv_pages`` pages.

    ``manifest`` says what lies in the process, ``role`` what it does of each step.
    """
    step = _step(manifest, role.step_limits(limits), max_model_len, num_kv_pages, role)
    return (_kv_cache(step.layout, num_kv_pages), _attention(step), _activations(step), *_logits(step))


def vllm_terms(manifest: Manifest, limits: Limits, num_kv_pages: int, role: Role) -> tuple[MemoryTerm, ...]:
    """The same for vLLM, whose attention reads the pages where they lie: no masks, nothing read back.

    Each of its batches under way may be as large as ``limits`` say.
    """
    step = _step(manifest, limits, 1, num_kv_pages, role)
    return (_kv_cache(step.layout, num_kv_pages), _activations(step), *_logits(step))


def _step(manifest: Manifest, limits: Limits, max_model_len: int, num_kv_pages: int, role: Role) -> _Step:
    return _Step(
        required_architecture(manifest),
        item_bytes(manifest),
        page_layout(manifest, limits),
        limits,
        max_model_len,
        num_kv_pages,
        role,
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


def _attention(step: _Step) -> MemoryTerm:
    """What sdpa attention of one layer reads back, its masks and its indices.

    Grouped heads are read, then repeated: 2 x [heads, tokens, head_dim] and [kv_heads, tokens, head_dim]; others
    are read as they are. For each kind of layer a mask [batch tokens, readable + batch tokens] and an index of
    8 B, both as long as if the whole cache were read. Who leads keeps them for each batch under way; who follows
    makes them for one batch at a time, as long as what that reads.
    """
    facts, layout, batch_tokens = step.facts, step.layout, step.limits.max_batch_tokens
    heads, kv_heads = facts.num_attention_heads, facts.num_key_value_heads
    live_heads = 2 * heads + (kv_heads if heads > kv_heads else 0)
    num_read = layout.num_read_tokens(step.limits.max_num_seqs, step.max_model_len, batch_tokens)
    per_token = live_heads * facts.head_dim * step.item_bytes
    leads = step.role.leads
    length = layout.num_readable_tokens(step.num_pages) + batch_tokens if leads else num_read
    num_masks = len(layout.groups) * (step.role.num_batches if leads else 1)
    per_mask = length * (batch_tokens * step.item_bytes + _INDEX_BYTES)
    return MemoryTerm(
        "attention",
        num_read * per_token + num_masks * per_mask,
        f"{num_read:,} tokens x {per_token:,} B read back + {num_masks} x mask {batch_tokens} x {length:,}",
    )


def _activations(step: _Step) -> MemoryTerm:
    """One layer on a whole step, [batch tokens, widths]: states, projections, gated MLP, and a norm in float32.

    In a mixture of experts each token goes through several, and its state is gathered and scattered for each. A
    stage also holds the states that came to it and those that it passes on.
    """
    facts, batch_tokens = step.facts, step.limits.max_batch_tokens
    hidden, experts = facts.hidden_size, facts.experts
    projections = (facts.num_attention_heads + 2 * facts.num_key_value_heads) * facts.head_dim
    dense = 3 * (facts.intermediate_size or 4 * hidden)
    routed = (
        0 if experts is None else 3 * experts.active_intermediate_size + 2 * experts.num_experts_per_token * hidden
    )
    values = (4 + step.role.num_messages) * hidden + projections + max(dense, routed)
    per_token = values * step.item_bytes + 2 * hidden * FLOAT32_BYTES
    return MemoryTerm("activations", batch_tokens * per_token, f"{batch_tokens} batch tokens x {per_token:,} B")


def _logits(step: _Step) -> tuple[MemoryTerm, ...]:
    """One row of scores for each sequence: as computed, and what the sampling of the next token makes of them.

    Of a head in slices each rank has its own and, gathered, all of them. Nothing where there is no head.
    """
    role, num_seqs, vocabulary = step.role, step.limits.max_num_seqs, step.facts.vocab_size
    if not role.has_head:
        return ()
    per_seq = vocabulary * (step.item_bytes + (_SAMPLING_BYTES if role.leads else 0))
    if role.tensor > 1:
        per_seq += vocabulary // role.tensor * step.item_bytes
    return (MemoryTerm("logits", num_seqs * per_seq, f"{num_seqs} sequences x {per_seq:,} B"),)
