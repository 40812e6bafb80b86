"""Tiny models of the families that can be divided, with random weights, as the store would hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from models.manifest import Manifest
from models.types import Task, WeightFormat
from tests.unit.models.engines.models_for_tests import manifest_of

NUM_LAYERS = 4
VOCAB_SIZE = 96
_SIZES: Mapping[str, object] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": None,
    "eos_token_id": None,
}
_GROUPED = {"num_key_value_heads": 3, "head_dim": 8}
MIXED = ["sliding_attention", "full_attention"] * 2
_DECODERS: Mapping[str, Mapping[str, object]] = {
    "llama": {"tie_word_embeddings": False},
    "qwen2": {},
    "qwen3": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": 5},
    "smollm3": {"no_rope_layers": [1, 0, 1, 1]},
    "gemma3_text": {"layer_types": MIXED, "sliding_window": 5},
    # Multiplies what comes in.
    "granite": {"embedding_multiplier": 3.0},
}
_ENCODERS = ("bert", "roberta", "xlm-roberta", "modernbert")


def config_of(family: str, **more: object) -> PretrainedConfig:
    own = {} if family in _ENCODERS else {**_GROUPED, **_DECODERS[family]}
    for_model: Any = AutoConfig.for_model
    config: PretrainedConfig = for_model(family, **{**_SIZES, **own, **more})
    return config


def build(config: PretrainedConfig) -> PreTrainedModel:
    """Wide enough that every part of the model makes a difference."""
    auto_class: Any = AutoModel if config.model_type in _ENCODERS else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = auto_class.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    torch.nn.Module.eval(model)
    return model


def store(model: PreTrainedModel, folder: Path, *, max_shard_size: str = "1GB") -> Manifest:
    """Write it to ``folder``, in files of ``max_shard_size``."""
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    task = Task.EMBED if model.config.model_type in _ENCODERS else Task.GENERATE
    return manifest_of(folder, WeightFormat.SAFETENSORS, task)
