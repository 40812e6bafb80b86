"""Models with next to no weights: a process that serves one holds little but Python, Ray and libraries."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from models.spec import EngineName
from models.types import Task

_WORDS = ("[PAD]", "[UNK]", "[END]", "a", "b", "c")
_HIDDEN = 8
_MLP = 2 * _HIDDEN
_MAX_TOKENS = 64
_COMMON = {
    "vocab_size": len(_WORDS),
    "hidden_size": _HIDDEN,
    "intermediate_size": _MLP,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": _MAX_TOKENS,
    "dtype": "float32",
}
_LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_key_value_heads": 1,
          "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": _WORDS.index("[END]")}  # fmt: skip
_BERT = {"model_type": "bert", "architectures": ["BertModel"], "type_vocab_size": 2, "pad_token_id": 0}

# An ONNX graph: one Gather from a table of 6 x 2 zeros, input_ids [batch, tokens] -> last_hidden_state
# [batch, tokens, 2], in IR version 10 with opset 17. As bytes, since onnx itself is needed for nothing else.
_GRAPH = (
    "CAo60gEKLQoFdGFibGUKCWlucHV0X2lkcxIRbGFzdF9oaWRkZW5fc3RhdGUiBkdhdGhlchIEdGlueSo/CAYIAhABQgV0YWJsZUowAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAWiYKCWlucHV0X2lkcxIZChcIBxITCgcSBWJhdGNoCggS"
    "BnRva2Vuc2IyChFsYXN0X2hpZGRlbl9zdGF0ZRIdChsIARIXCgcSBWJhdGNoCggSBnRva2VucwoCCAJCBAoAEBE="
)

Weights = dict[str, npt.NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TinyModel:
    """Arguments of ``deployments.app:build_model`` for one engine."""

    engine: EngineName
    source: str
    task: Task
    tokenizer: str | None = None


def write_tiny_models(folder: Path) -> tuple[TinyModel, ...]:
    """One model for each engine."""
    _write(folder / "llama", {**_COMMON, **_LLAMA}, _llama_weights())
    _write(folder / "bert", {**_COMMON, **_BERT}, _bert_weights())
    (folder / "model.onnx").write_bytes(base64.b64decode(_GRAPH))
    bert = f"file:{folder / 'bert'}"
    return (
        TinyModel("transformers", f"file:{folder / 'llama'}", Task.GENERATE),
        TinyModel("embedding", bert, Task.EMBED),
        TinyModel("onnx", f"file:{folder / 'model.onnx'}", Task.EMBED, tokenizer=bert),
    )


def _write(folder: Path, config: Mapping[str, object], weights: Weights) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(_WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[END]"}
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": _MAX_TOKENS, **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts), encoding="utf-8")


def _llama_weights() -> Weights:
    layer, heads = "model.layers.0", 2
    shapes: Shapes = {
        "model.embed_tokens.weight": (len(_WORDS), _HIDDEN),
        "model.norm.weight": (_HIDDEN,),
        f"{layer}.input_layernorm.weight": (_HIDDEN,),
        f"{layer}.post_attention_layernorm.weight": (_HIDDEN,),
        f"{layer}.self_attn.q_proj.weight": (_HIDDEN, _HIDDEN),
        f"{layer}.self_attn.k_proj.weight": (_HIDDEN // heads, _HIDDEN),
        f"{layer}.self_attn.v_proj.weight": (_HIDDEN // heads, _HIDDEN),
        f"{layer}.self_attn.o_proj.weight": (_HIDDEN, _HIDDEN),
        f"{layer}.mlp.gate_proj.weight": (_MLP, _HIDDEN),
        f"{layer}.mlp.up_proj.weight": (_MLP, _HIDDEN),
        f"{layer}.mlp.down_proj.weight": (_HIDDEN, _MLP),
    }
    return _zeros(shapes)


def _bert_weights() -> Weights:
    layer = "encoder.layer.0"
    square = [f"{layer}.attention.{name}" for name in ("self.query", "self.key", "self.value", "output.dense")]
    linear = dict.fromkeys(square, (_HIDDEN, _HIDDEN))
    linear |= {f"{layer}.intermediate.dense": (_MLP, _HIDDEN), f"{layer}.output.dense": (_HIDDEN, _MLP)}
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (len(_WORDS), _HIDDEN),
        "embeddings.position_embeddings.weight": (_MAX_TOKENS, _HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, _HIDDEN),
    }
    for name, (rows, columns) in linear.items():
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{name}.LayerNorm.weight": (_HIDDEN,), f"{name}.LayerNorm.bias": (_HIDDEN,)}
    return _zeros(shapes)


def _zeros(shapes: Shapes) -> Weights:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
