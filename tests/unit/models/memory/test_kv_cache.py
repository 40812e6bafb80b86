"""What layers keep of a sequence: values worked out by hand from published sizes; what holds for any layout."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.manifest import ArchitectureFacts
from models.memory.kv_cache import CacheLayout, cache_layout, kv_bytes_per_sequence, why_not_paged
from tests.unit.manifests import SMOLLM2
from tests.unit.models.known_models import known

KINDS = st.sampled_from(["full_attention", "sliding_attention"])


@pytest.mark.parametrize(
    ("name", "num_bytes"),
    [
        ("llama-2-7b", 2 * 32 * 32 * 128 * 2),  # 512 KiB: every head keeps its own
        ("llama-3.1-8b", 131_072),  # 2 x 32 layers x 8 heads x 128 x 2 B
        ("llama-3.1-70b", 327_680),  # 2 x 80 x 8 x 128 x 2 B
        ("qwen2.5-7b", 57_344),  # 2 x 28 x 4 x 128 x 2 B
        ("qwen3-8b", 147_456),  # 2 x 36 x 8 x 128 x 2 B
        ("mixtral-8x7b-v0.1", 131_072),  # experts keep nothing
        ("falcon-7b", 8_192),  # one head: 2 x 32 x 64 x 2 B
        ("starcoderbase-1b", 2 * 24 * 128 * 2),  # one head
        ("gpt2", 36_864),  # 2 x 12 x 768 x 2 B
        ("deepseek-v2-lite", (512 + 64) * 27 * 2),  # compressed
        ("deepseek-v3", 70_272),  # (512 + 64) x 61 x 2 B
    ],
)
def test_bytes_of_a_token_in_two_byte_elements(name: str, num_bytes: int) -> None:
    assert kv_bytes_per_sequence(known(name).facts, 1, 2) == num_bytes


def test_a_sliding_layer_keeps_no_more_than_its_window() -> None:
    facts = known("gemma-3-1b").facts  # 22 of 26 layers slide over 512 tokens; one head of 256
    assert facts.layer_types.count("full_attention") == 4
    assert kv_bytes_per_sequence(facts, 400, 2) == 400 * 26 * 2 * 256 * 2
    assert kv_bytes_per_sequence(facts, 32_768, 2) == (4 * 32_768 + 22 * 512) * 2 * 256 * 2


def test_a_decoder_also_keeps_what_its_encoder_gave() -> None:
    facts = known("whisper-large-v3").facts
    assert kv_bytes_per_sequence(facts, 448, 2) == 32 * (448 + 1500) * 2 * 1280 * 2


def test_a_recurrent_layer_keeps_a_state_of_fixed_size() -> None:
    facts = SMOLLM2.architecture
    assert facts is not None
    kinds = (*["linear_attention"] * 27, *["full_attention"] * 3)
    hybrid = facts.model_copy(update={"layer_types": kinds, "recurrent_state_size": 1000})
    per_token = 3 * 2 * 3 * 64 * 4
    assert kv_bytes_per_sequence(hybrid, 100, 4) == 27 * 1000 * 4 + 100 * per_token


def test_what_cannot_be_paged_is_named() -> None:
    assert why_not_paged(known("llama-3.1-8b").facts) is None
    assert why_not_paged(known("deepseek-v3").facts) == "multi-head latent attention"
    assert why_not_paged(known("t5-base").facts) == "the cross-attention of an encoder-decoder"
    assert why_not_paged(known("gemma-3-1b").facts) is None
    assert why_not_paged(known("gemma-2-9b").facts) == "gemma2's own attention"
    assert why_not_paged(known("falcon-7b").facts) == "falcon's own attention"


def layouts() -> st.SearchStrategy[CacheLayout]:
    def build(kinds: list[str], window: int, heads: int, head_dim: int, page_size: int) -> CacheLayout:
        facts = ArchitectureFacts(
            model_type="any",
            hidden_size=8,
            num_hidden_layers=len(kinds),
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=head_dim,
            vocab_size=8,
            sliding_window=window,
            layer_types=tuple(kinds),
        )
        return cache_layout(facts, 2, page_size)

    kinds = st.lists(KINDS, min_size=1, max_size=24)
    return st.builds(build, kinds, st.integers(1, 300), st.integers(1, 8), st.integers(1, 80), st.integers(4, 64))


@given(layout=layouts(), num_sectors=st.integers(1, 5000))
def test_the_engine_makes_the_sectors_that_were_meant(layout: CacheLayout, num_sectors: int) -> None:
    pages = layout.num_pages(num_sectors)
    made = layout.num_sectors(pages)
    assert made >= num_sectors
    assert made * layout.sector_bytes // layout.model_block_bytes == pages
    assert (made - num_sectors) * layout.sector_bytes < layout.model_block_bytes


@given(layout=layouts(), num_seqs=st.integers(1, 40), num_tokens=st.integers(1, 600))
def test_every_group_has_a_block_for_every_page_of_every_sequence(
    layout: CacheLayout, num_seqs: int, num_tokens: int
) -> None:
    free = layout.num_sectors(layout.num_pages_for(num_seqs, num_tokens))
    for group in layout.groups:
        kept = num_tokens if group.window is None else min(num_tokens, group.window)
        blocks_per_sector, remainder = divmod(layout.sector_bytes, group.block_bytes)
        assert remainder == 0
        free -= ceil(num_seqs * ceil(kept / layout.page_size) / blocks_per_sector)
    assert free >= 0


@given(layout=layouts(), num_pages=st.integers(1, 5000))
def test_the_cache_is_two_sectors_larger_than_its_pages(layout: CacheLayout, num_pages: int) -> None:
    assert layout.total_bytes(num_pages) >= num_pages * layout.model_block_bytes + 2 * layout.sector_bytes
    assert layout.total_bytes(num_pages) % 128 == 0
