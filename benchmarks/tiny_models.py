"""Models with next to no weights: a process that serves one holds little but Python, Ray and libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.spec import EngineName
from models.types import Task

_WORDS = ("[PAD]", "[UNK]", "[END]", "a", "b", "c")
_HIDDEN_SIZE = 8
_MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class TinyModel:
    """Arguments of ``deployments.app:build_model`` for one engine."""

    engine: EngineName
    source: str
    task: Task
    tokenizer: str | None = None


def write_tiny_models(folder: Path) -> list[TinyModel]:
    """One model for each engine."""
    _write_llama(folder / "llama")
    _write_bert(folder / "bert")
    _write_onnx(folder / "model.onnx")
    bert = f"file:{folder / 'bert'}"
    return [
        TinyModel("transformers", f"file:{folder / 'llama'}", Task.GENERATE),
        TinyModel("embedding", bert, Task.EMBED),
        TinyModel("onnx", f"file:{folder / 'model.onnx'}", Task.EMBED, tokenizer=bert),
    ]


def _write_llama(folder: Path) -> None:
    config = LlamaConfig(
        vocab_size=len(_WORDS),
        hidden_size=_HIDDEN_SIZE,
        intermediate_size=2 * _HIDDEN_SIZE,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=_MAX_TOKENS,
        eos_token_id=_WORDS.index("[END]"),
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    _write_tokenizer(folder)


def _write_bert(folder: Path) -> None:
    config = BertConfig(
        vocab_size=len(_WORDS),
        hidden_size=_HIDDEN_SIZE,
        intermediate_size=2 * _HIDDEN_SIZE,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=_MAX_TOKENS,
    )
    BertModel(config).save_pretrained(folder)
    _write_tokenizer(folder)


def _write_tokenizer(folder: Path) -> None:
    vocabulary = {word: index for index, word in enumerate(_WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    roles = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[END]"}
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    fast = make(tokenizer_object=tokenizer, model_max_length=_MAX_TOKENS, **roles)
    fast.save_pretrained(folder)


def _write_onnx(path: Path) -> None:
    """Looks each token up in a table: [batch, tokens] -> [batch, tokens, hidden]."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    states = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", _HIDDEN_SIZE]
    )
    table = numpy_helper.from_array(np.eye(len(_WORDS), _HIDDEN_SIZE, dtype=np.float32), "table")
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    graph = helper.make_graph([node], "tiny", [ids], [states], [table])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
