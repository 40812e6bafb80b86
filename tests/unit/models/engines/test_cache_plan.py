"""The planned KV cache against the one that transformers' continuous batching allocates, for tiny models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching import ContinuousBatchingManager
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.cache_allocators import FullAttentionCacheAllocator

from models.errors import ConfigError
from models.importing.architecture import architecture_facts
from models.importing.configuration import Configuration
from models.manifest import Manifest
from models.memory.plan import MemoryPlan, plan_memory
from models.spec import Limits
from tests.unit.manifests import SMOLLM2

SIZES: dict[str, int | None] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}


GPT_SIZES: dict[str, int | None] = {
    "vocab_size": 64,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 128,
    "bos_token_id": None,
    "eos_token_id": None,
}


def tiny(model_type: str, base: dict[str, int | None] = SIZES, **sizes: int | bool | None) -> PretrainedConfig:
    """A configuration of the family with small sizes."""
    config: PretrainedConfig = AutoConfig.for_model(model_type, **{**base, **sizes})
    return config


PAGED: dict[str, PretrainedConfig] = {
    "grouped heads": tiny("llama"),
    "all heads": tiny("gpt2", GPT_SIZES),
    "one head": tiny("gpt_bigcode", GPT_SIZES, multi_query=True),
    "sliding": tiny("mistral", sliding_window=20),
    "5 sliding to 1 full": tiny("gemma3_text", head_dim=8, sliding_window=20),
    "4 sliding, 2 full": tiny("gemma3_text", head_dim=8, sliding_window=20, sliding_window_pattern=3),
    "3 sliding, 3 full": tiny("gemma3_text", head_dim=8, sliding_window=20, sliding_window_pattern=2),
    "experts": tiny("mixtral", num_local_experts=4, num_experts_per_tok=2),
    "odd head": tiny("qwen3_moe", num_key_value_heads=1, head_dim=6, num_experts=4, moe_intermediate_size=8),
}
LATENT = tiny(
    "deepseek_v3",
    num_key_value_heads=4,
    num_experts_per_tok=2,
    n_routed_experts=8,
    moe_intermediate_size=8,
    kv_lora_rank=8,
    q_lora_rank=None,
    qk_nope_head_dim=8,
    qk_rope_head_dim=4,
    v_head_dim=8,
)
NOT_PAGED: dict[str, PretrainedConfig] = {
    "multi-head latent attention": LATENT,
    "layers of linear_attention": tiny("qwen3_next", head_dim=8),
}
LIMITS = Limits(max_model_len=52, max_num_seqs=3, max_batch_tokens=32, page_size=8)


def manifest_of(config: PretrainedConfig) -> Manifest:
    """As an import would write it, from the configuration's own file."""
    facts = architecture_facts(Configuration.model_validate_json(config.to_json_string()))
    return SMOLLM2.model_copy(update={"architecture": facts})


@contextmanager
def batching(config: PretrainedConfig, plan: MemoryPlan) -> Iterator[ContinuousBatchingManager]:
    """Continuous batching of a model with random weights, with what the engine would pass on of the plan."""
    build = cast("Callable[..., PreTrainedModel]", AutoModelForCausalLM.from_config)
    model = build(config, attn_implementation="sdpa")
    settings = ContinuousBatchingConfig(
        page_size=plan.page_size,
        num_blocks=plan.num_kv_pages,
        max_batch_tokens=plan.max_batch_tokens,
        max_requests_per_batch=plan.max_num_seqs,
    )
    greedy = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0)  # type: ignore[no-untyped-call]
    manager = cast("Callable[..., ContinuousBatchingManager]", model.init_continuous_batching)(greedy, settings)
    manager.warmup()
    try:
        yield manager
    finally:
        manager.stop(block=True, hard_stop=True)


@contextmanager
def real_cache(config: PretrainedConfig, plan: MemoryPlan) -> Iterator[PagedAttentionCache]:
    with batching(config, plan) as manager:
        assert manager.batch_processor is not None
        yield manager.batch_processor.cache


def num_storable(cache: PagedAttentionCache, num_seqs: int, num_tokens: int) -> int:
    """How many of so many sequences the cache takes before it is full."""
    allocators = cast("dict[str, FullAttentionCacheAllocator]", cache.cache_allocators)
    needed = {name: each._compute_blocks_needed(0, 0, num_tokens) for name, each in allocators.items()}
    return int(cache.count_storable_requests([needed] * num_seqs))


def plans(config: PretrainedConfig) -> list[MemoryPlan]:
    """From limits, and within a budget with room for a few times as many."""
    manifest = manifest_of(config)
    needed = plan_memory(manifest, LIMITS, "transformers")
    budget = needed.total_bytes + 3 * needed.kv_cache_bytes
    few = Limits(max_batch_tokens=16, page_size=8)
    return [needed, plan_memory(manifest, few, "transformers", budget_bytes=budget)]


@pytest.mark.parametrize("config", PAGED.values(), ids=PAGED)
def test_the_cache_is_allocated_as_planned(config: PretrainedConfig) -> None:
    for plan in plans(config):
        with real_cache(config, plan) as cache:
            assert cache.cache_tensor.nbytes == plan.kv_cache_bytes
            assert cache.num_blocks == plan.num_kv_pages
            assert num_storable(cache, plan.max_num_seqs, plan.max_model_len) == plan.max_num_seqs


@pytest.mark.parametrize("config", PAGED.values(), ids=PAGED)
def test_masks_and_indices_are_as_long_as_planned(config: PretrainedConfig) -> None:
    plan = plan_memory(manifest_of(config), LIMITS, "transformers")
    with real_cache(config, plan) as cache:
        length = cache.max_tokens_read + plan.max_batch_tokens
        kinds = len(cache.cache_allocators)
    per_kind = f"{kinds} x mask {plan.max_batch_tokens} x {length:,}"
    assert per_kind in plan.term("attention").formula


@pytest.mark.parametrize(("reason", "config"), NOT_PAGED.items(), ids=NOT_PAGED)
def test_what_the_engine_cannot_page_is_refused(reason: str, config: PretrainedConfig) -> None:
    with pytest.raises(ConfigError, match=f"has {reason}, which continuous batching of transformers cannot page"):
        plan_memory(manifest_of(config), LIMITS, "transformers")


def test_latent_attention_still_fails_in_transformers() -> None:
    """When this fails, the refusal above can go."""
    plan = plan_memory(manifest_of(PAGED["grouped heads"]), LIMITS, "transformers")
    with batching(LATENT, plan) as manager:
        manager.start()
        manager.add_request([1, 2, 3], max_new_tokens=2)
        output = manager.get_result(timeout=20)
    assert output is not None
    assert output.error is not None
    assert "same slice shapes" in output.error
