"""What the layers of a model keep of a sequence, and how continuous batching lays it out in pages.

Follows transformers 5.23 (``PagedAttentionCache`` in ``generation/continuous_batching/cache.py``), which the
engine runs and a test compares with: layers are grouped by their kind of attention; a group's *block* holds one
page of tokens in all its layers; a *sector* is the least common multiple of the groups' blocks, so that a sector
given to any group is cut into whole blocks of it; the cache is an array of sectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lcm

from models.manifest import ArchitectureFacts

FULL_ATTENTION = "full_attention"
SLIDING_ATTENTION = "sliding_attention"
LINEAR_ATTENTION = "linear_attention"

# Two sectors that no sequence gets: padding is written there.
NUM_TRASH_SECTORS = 2

_ALIGNMENT_BYTES = 128

# Families of transformers 5.23 whose attention does not go through its interface, or cannot be computed with sdpa
# (soft-capped scores, sinks): their classes say so, and a test compares. Of those in the last line only running
# them tells: they fail, or answer something else than one by one.
_OWN_ATTENTION = frozenset(
    (
        *("bamba", "big_bird", "bloom", "codegen", "cpmant", "falcon", "falcon_h1", "flint", "gemma2", "git"),
        *("gpt_neo", "gpt_neox_japanese", "gpt_oss", "gptj", "granite_swa", "granitemoe_swa", "jamba", "mamba2"),
        *("megatron-bert", "mimo_v2_flash", "mpt", "openai-gpt", "rembert", "roformer", "stablelm", "trocr"),
        *("vaultgemma", "xlnet", "xlstm", "zamba", "zamba2"),
        *("diffllama", "doge", "gemma4_text", "jetmoe", "nemotron"),
    )
)


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """The layers of one kind. ``block_bytes``: one page of tokens in all of them."""

    kind: str
    num_layers: int
    block_bytes: int
    window: int | None

    def num_kept(self, num_tokens: int) -> int:
        """Tokens that the group keeps of a sequence of ``num_tokens``."""
        return num_tokens if self.window is None else min(num_tokens, self.window)


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Where pages go. ``model_block_bytes``: one page of ``page_size`` tokens in all layers of the model."""

    groups: tuple[LayerGroup, ...]
    page_size: int
    model_block_bytes: int
    sector_bytes: int

    def num_sectors(self, num_pages: int) -> int:
        """Sectors that the engine makes when it is told ``num_pages``."""
        return max(1, ceil(num_pages * self.model_block_bytes / self.sector_bytes))

    def num_pages(self, num_sectors: int) -> int:
        """The pages to tell the engine so that it makes ``num_sectors``, and counts as many pages in them."""
        total_bytes = num_sectors * self.sector_bytes
        if self.model_block_bytes <= self.sector_bytes:
            return total_bytes // self.model_block_bytes
        return ceil(total_bytes / self.model_block_bytes)

    def num_pages_for(self, num_seqs: int, num_tokens: int) -> int:
        """Pages with which ``num_seqs`` sequences of ``num_tokens`` always find room in every group."""
        return self.num_pages(sum(self._sectors_of(group, num_seqs, num_tokens) for group in self.groups))

    def total_bytes(self, num_pages: int) -> int:
        """Bytes of the array that holds ``num_pages`` pages of the whole model, its trash sectors included."""
        return (self.num_sectors(num_pages) + NUM_TRASH_SECTORS) * self.sector_bytes

    def num_readable_tokens(self, num_pages: int) -> int:
        """Tokens of the group that could hold most, if all sectors were its own; index and masks are so long."""
        per_sector = self.sector_bytes // min(group.block_bytes for group in self.groups)
        return self.num_sectors(num_pages) * per_sector * self.page_size

    def num_read_tokens(self, num_seqs: int, num_tokens: int, batch_tokens: int) -> int:
        """The most tokens that attention of one layer reads in a step: those cached and those of the batch."""
        whole = num_seqs * num_tokens
        return max(min(whole, num_seqs * group.num_kept(num_tokens) + batch_tokens) for group in self.groups)

    def _sectors_of(self, group: LayerGroup, num_seqs: int, num_tokens: int) -> int:
        num_blocks = num_seqs * ceil(group.num_kept(num_tokens) / self.page_size)
        return ceil(num_blocks * group.block_bytes / self.sector_bytes)


def cache_layout(architecture: ArchitectureFacts, item_bytes: int, page_size: int) -> CacheLayout:
    """The layout for layers of full and of sliding attention, with keys and values of ``item_bytes`` elements."""
    page_bytes = page_size * 2 * architecture.num_key_value_heads * architecture.head_dim * item_bytes
    kinds = layer_types(architecture)
    groups = tuple(
        LayerGroup(
            kind,
            kinds.count(kind),
            kinds.count(kind) * page_bytes,
            architecture.sliding_window if kind == SLIDING_ATTENTION else None,
        )
        for kind in dict.fromkeys(kinds)
    )
    sector_bytes = lcm(*(group.block_bytes for group in groups), _ALIGNMENT_BYTES)
    return CacheLayout(groups, page_size, len(kinds) * page_bytes, sector_bytes)


def layer_types(architecture: ArchitectureFacts) -> tuple[str, ...]:
    """The kind of each layer."""
    return architecture.layer_types or (FULL_ATTENTION,) * architecture.num_hidden_layers


def why_not_paged(architecture: ArchitectureFacts) -> str | None:
    """What continuous batching of transformers 5.23 cannot page in this model; None where it can.

    Its allocators know full and sliding attention, which they see only where a model computes it through
    transformers' interface, with sdpa. It takes the head size of latent attention from the rotary part alone, so
    that the first request fails; encoders and their cross-attention it does not run.
    """
    if architecture.encoder is not None:
        return "the cross-attention of an encoder-decoder"
    if architecture.latent_attention is not None:
        return "multi-head latent attention"
    others = set(layer_types(architecture)) - {FULL_ATTENTION, SLIDING_ATTENTION}
    if others:
        return f"layers of {', '.join(sorted(others))}"
    return f"{architecture.model_type}'s own attention" if architecture.model_type in _OWN_ATTENTION else None


def kv_bytes_per_sequence(architecture: ArchitectureFacts, num_tokens: int, item_bytes: int) -> int:
    """The least that must be kept of one sequence, page rounding aside: what no engine can go below.

    Full layers keep every token, sliding ones their window, recurrent ones a state of fixed size; a decoder with
    cross-attention also keeps the keys and values of its encoder's positions.
    """
    kinds = layer_types(architecture)
    window = min(num_tokens, architecture.sliding_window or num_tokens)
    num_sliding = kinds.count(SLIDING_ATTENTION)
    num_recurrent = kinds.count(LINEAR_ATTENTION)
    num_full = len(kinds) - num_sliding - num_recurrent
    kept_tokens = num_full * num_tokens + num_sliding * window
    if architecture.encoder is not None:
        kept_tokens += len(kinds) * (architecture.encoder.max_tokens or num_tokens)
    elements = kept_tokens * _elements_per_token(architecture)
    return (elements + num_recurrent * architecture.recurrent_state_size) * item_bytes


def _elements_per_token(architecture: ArchitectureFacts) -> int:
    """Of one token in one layer: keys and values of every KV head.

    With latent attention one compressed vector and the rotary part of the keys, as DeepSeek-V2 (arXiv 2405.04434,
    table 1) and the engines that keep it compressed do.
    """
    latent = architecture.latent_attention
    if latent is not None:
        return latent.kv_lora_rank + latent.qk_rope_head_dim
    return 2 * architecture.num_key_value_heads * architecture.head_dim
