"""What transformers assumes of a family of models where its ``config.json`` says nothing.

Published files leave out what equals the default of transformers' configuration class, so the sizes of a
Gemma 3 or a Falcon are not all in the file. Values from transformers 5.23, ``models/*/configuration_*.py``;
a test compares what is read here with what those classes give.
"""

from __future__ import annotations

from collections.abc import Mapping

Value = int | bool

_GEMMA_3_TEXT: Mapping[str, Value] = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262_208,
    "max_position_embeddings": 131_072,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}

FAMILY_DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "falcon": {"multi_query": True, "max_position_embeddings": 2048, "tie_word_embeddings": True},
    "gemma": {"head_dim": 256, "tie_word_embeddings": True},
    "gemma2": {"head_dim": 256, "sliding_window": 4096, "tie_word_embeddings": True},
    "gemma3_text": _GEMMA_3_TEXT,
    "gpt2": {"tie_word_embeddings": True},
    "gpt_bigcode": {"multi_query": True, "tie_word_embeddings": True},
    "gpt_oss": {"sliding_window": 128},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "mixtral": {"num_key_value_heads": 8, "num_experts_per_tok": 2},
    "qwen2": {"use_sliding_window": False, "max_window_layers": 28},
    "qwen2_moe": {"use_sliding_window": False},
    "qwen3": {"use_sliding_window": False, "max_window_layers": 28, "head_dim": 128},
    "qwen3_moe": {"use_sliding_window": False},
    "qwen3_next": {"head_dim": 256, "full_attention_interval": 4},
    "qwen3_5_text": {"head_dim": 256, "full_attention_interval": 4},
    "starcoder2": {"tie_word_embeddings": True},
    "t5": {"n_positions": 512, "tie_word_embeddings": True},
    "whisper": {"max_source_positions": 1500, "max_target_positions": 448, "tie_word_embeddings": True},
}

# Families in which only every n-th layer sees the whole context, unless the file says so itself.
FULL_ATTENTION_EVERY: Mapping[str, int] = {
    "cohere2": 4,
    "gemma2": 2,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gpt_oss": 2,
    "olmo3": 4,
}

# Families whose first ``max_window_layers`` see the whole context.
WINDOW_AFTER_FIRST = frozenset({"qwen2", "qwen2_vl_text", "qwen2_5_vl_text", "qwen3", "dots1"})
