"""Families that continuous batching cannot serve, against what transformers' own classes say, and by trying."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching import ContinuousBatchingManager
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from models.errors import SourceError
from models.importing.architecture import architecture_facts
from models.importing.configuration import Configuration
from models.importing.task import continues_text
from models.memory.kv_cache import why_not_paged

# Its class does not say that it goes through the interface, but it does.
UNDECLARED = "biogpt"
# The second is longer than a step takes.
PROMPTS, NUM_NEW = ([5, 9, 33, 17, 4, 8], [7, *range(3, 27)]), 8
SIZES: dict[str, object] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
FALCON: dict[str, object] = {"alibi": False, "multi_query": True, "new_decoder_architecture": False}
WORKING: dict[str, dict[str, object]] = {"llama": {}, "gpt2": {}, UNDECLARED: {}}
FAILING: dict[str, dict[str, object]] = {
    "diffllama": {},
    "doge": {"num_key_value_heads": 2},
    "falcon": FALCON,
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8},
    "gemma4_text": {"num_key_value_heads": 2, "head_dim": 8, "global_head_dim": 16},
    "jetmoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 8},
    "stablelm": {"num_key_value_heads": 2},
}


def class_of(model_type: str) -> type[PreTrainedModel]:
    found = MODEL_FOR_CAUSAL_LM_MAPPING[CONFIG_MAPPING[model_type]]
    return cast("type[PreTrainedModel]", found[0] if isinstance(found, tuple) else found)


def is_taken(model_type: str) -> bool:
    """Whether import and planner take the family, with the sizes that transformers gives it by default."""
    configuration = Configuration.model_validate_json(CONFIG_MAPPING[model_type]().to_json_string())
    named = configuration.model_copy(update={"architectures": (class_of(model_type).__name__,)})
    try:
        return continues_text(named) and why_not_paged(architecture_facts(named)) is None
    except SourceError:
        return False


def test_no_family_is_taken_whose_class_cannot_be_served() -> None:
    declared = {
        model_type
        for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if class_of(model_type)._supports_sdpa and class_of(model_type)._supports_attention_backend
    }
    undeclared = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - declared
    assert {model_type for model_type in undeclared if is_taken(model_type)} == {UNDECLARED}


def model_of(config: PretrainedConfig, attention: str) -> PreTrainedModel:
    """The same weights each time, so large that no two tokens are nearly as likely."""
    model = cast("Callable[..., PreTrainedModel]", AutoModelForCausalLM.from_config)(
        config, attn_implementation=attention
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, 0, 0.35)
    evaluated: PreTrainedModel = torch.nn.Module.eval(model)
    return evaluated


def one_by_one(config: PretrainedConfig) -> list[list[int]]:
    model = model_of(config, "eager")
    generate: Callable[..., torch.Tensor] = getattr(model, "generate")  # noqa: B009  its annotations contradict mypy
    answers = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        whole = generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NUM_NEW)
        answers.append(whole[0, len(prompt) :].tolist())
    return answers


def batched(config: PretrainedConfig) -> list[list[int]]:
    """As the engine does it. ValueError, AttributeError or RuntimeError when it fails."""
    model = model_of(config, "sdpa")
    greedy = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0)  # type: ignore[no-untyped-call]
    settings = ContinuousBatchingConfig(page_size=8, num_blocks=8, max_batch_tokens=16, max_requests_per_batch=2)
    manager = cast("Callable[..., ContinuousBatchingManager]", model.init_continuous_batching)(greedy, settings)
    manager.start()
    try:
        names = [manager.add_request(prompt, max_new_tokens=NUM_NEW) for prompt in PROMPTS]
        answers = {}
        for _ in names:
            output = manager.get_result(timeout=20)
            if output is None or output.error is not None:
                raise RuntimeError(f"no answer: {output}")
            answers[output.request_id] = list(output.generated_tokens)
    finally:
        manager.stop(block=True, hard_stop=True)
    return [answers[name] for name in names if name]


def configured(model_type: str, sizes: dict[str, object]) -> PretrainedConfig:
    config: PretrainedConfig = AutoConfig.for_model(model_type, **SIZES, **sizes)
    return config


@pytest.mark.parametrize("model_type", WORKING)
def test_what_is_taken_answers_as_one_by_one(model_type: str) -> None:
    config = configured(model_type, WORKING[model_type])
    assert is_taken(model_type)
    assert batched(config) == one_by_one(config)


@pytest.mark.parametrize("model_type", FAILING)
def test_what_is_refused_still_fails_in_transformers(model_type: str) -> None:
    """When this fails, the family can be served."""
    config = configured(model_type, FAILING[model_type])
    assert not is_taken(model_type)
    expected = one_by_one(config)
    try:
        answer = batched(config)
    except (ValueError, AttributeError, RuntimeError):
        return
    assert answer != expected
