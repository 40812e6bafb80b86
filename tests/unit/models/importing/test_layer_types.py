"""The kinds of layers, against what transformers' own configuration classes derive."""

from __future__ import annotations

import pytest
from transformers import (
    AutoConfig,
    Cohere2Config,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    Olmo3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3NextConfig,
)

from models.importing.layer_types import LayerRule

CONFIGS: list[PretrainedConfig] = [
    Cohere2Config(num_hidden_layers=9, sliding_window=8),
    Gemma2Config(num_hidden_layers=7, sliding_window=8),
    Gemma3TextConfig(num_hidden_layers=13, sliding_window=8),
    GptOssConfig(num_hidden_layers=5, sliding_window=8),
    Olmo3Config(num_hidden_layers=9, sliding_window=8),
    Qwen2Config(num_hidden_layers=6, sliding_window=8, use_sliding_window=True, max_window_layers=4),
    Qwen3Config(num_hidden_layers=6, sliding_window=8, use_sliding_window=True, max_window_layers=2),
    Qwen3NextConfig(num_hidden_layers=9),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_the_family_decides(config: PretrainedConfig) -> None:
    rule = LayerRule(
        config.model_type,
        config.num_hidden_layers,
        getattr(config, "sliding_window", None),
        max_window_layers=getattr(config, "max_window_layers", None),
        full_attention_interval=4 if config.model_type == "qwen3_next" else None,
    )
    assert list(rule.layer_types()) == config.layer_types


def test_the_file_goes_before_the_family() -> None:
    config = AutoConfig.for_model("gemma3_text", num_hidden_layers=10, sliding_window=8, sliding_window_pattern=3)
    assert list(LayerRule("gemma3_text", 10, 8, sliding_window_pattern=3).layer_types()) == config.layer_types


def test_without_a_window_all_layers_see_everything() -> None:
    assert LayerRule("gemma2", 4, sliding_window=None).layer_types() == ()
    assert LayerRule("mistral", 2, sliding_window=8).layer_types() == ("sliding_attention",) * 2
