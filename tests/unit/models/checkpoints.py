"""Checkpoints of real architectures with random weights, as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from models.engines.mapped_weights import private_weight_bytes
from models.safetensors_file import StoredTensor, read_header

_SIZES = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def llama(*, tied: bool = True) -> PretrainedConfig:
    return _config("llama", tie_word_embeddings=tied)


def mixtral() -> PretrainedConfig:
    return _config("mixtral", num_local_experts=4)


def qwen3_moe() -> PretrainedConfig:
    return _config("qwen3_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8)


def deepseek_v3() -> PretrainedConfig:
    """One dense layer, one of experts; its router's correction is kept in float32."""
    ranks = {"q_lora_rank": 16, "kv_lora_rank": 16}
    heads = {"num_key_value_heads": 4, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    experts = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2}
    return _config("deepseek_v3", **ranks, **heads, **experts, moe_intermediate_size=24, first_k_dense_replace=1)


def bert() -> PretrainedConfig:
    return _config("bert")


def _config(model_type: str, **sizes: int) -> PretrainedConfig:
    config: PretrainedConfig = AutoConfig.for_model(model_type, **{**_SIZES, **sizes})
    return config


def write_checkpoint(
    folder: Path, config: PretrainedConfig, dtype: str = "float32", *, max_shard_size: str = "1GB"
) -> Path:
    """Weights, in shards of ``max_shard_size``, and config.json."""
    torch.manual_seed(0)
    auto_class = AutoModel if config.model_type == "bert" else AutoModelForCausalLM
    model: PreTrainedModel = auto_class.from_config(config, dtype=getattr(torch, dtype))  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    return folder


def load(folder: Path, dtype: str) -> PreTrainedModel:
    """As an engine loads it."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return model


def copied_bytes(model: PreTrainedModel, folder: Path) -> int:
    """Of its weights, what does not lie in the mapped files of ``folder``."""
    return private_weight_bytes(model, folder)


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = model(input_ids=torch.tensor([[1, 2, 3, 4]])).logits
    return output


def headers(folder: Path) -> list[StoredTensor]:
    return [tensor for path in sorted(folder.glob("*.safetensors")) for tensor in read_header(path)]
