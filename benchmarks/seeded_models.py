"""Small models with random weights: as many as one likes, each different, of three kinds and of the same size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = ("[PAD]", "[UNK]", "[END]", *(f"w{i}" for i in range(1021)))
MAX_TOKENS = 64

_HIDDEN_SIZE = 384
_NUM_LAYERS = 4


@dataclass(frozen=True, slots=True)
class LlamaSize:
    """Of a language model, with a KV head for every two heads."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int


SMALL = LlamaSize(_HIDDEN_SIZE, 3 * _HIDDEN_SIZE, _NUM_LAYERS, 4)  # 6 million parameters
LARGE = LlamaSize(1536, 4096, 6, 12)  # 160 million, nearly all of them in matrices of layers


def write_bert(folder: Path, seed: int) -> None:
    """A text encoder of 7 million parameters."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=_HIDDEN_SIZE,
        intermediate_size=4 * _HIDDEN_SIZE,
        num_hidden_layers=_NUM_LAYERS,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    _write_tokenizer(folder)


def write_llama(folder: Path, seed: int, max_tokens: int = MAX_TOKENS, size: LlamaSize = SMALL) -> None:
    """A language model with weights so large that no two tokens are nearly as likely."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        num_key_value_heads=size.num_heads // 2,
        max_position_embeddings=max_tokens,
        initializer_range=0.2,
        eos_token_id=VOCABULARY.index("[END]"),
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    _write_tokenizer(folder, max_tokens)


def write_graph(path: Path, seed: int) -> None:
    """An ONNX text encoder of 7 million parameters: [batch, tokens] -> [batch, tokens, hidden]."""
    random = np.random.default_rng(seed)
    wide = 8 * _HIDDEN_SIZE
    tables = {
        "table": (len(VOCABULARY), _HIDDEN_SIZE),
        **{f"up{i}": (_HIDDEN_SIZE, wide) for i in range(3)},
        **{f"down{i}": (wide, _HIDDEN_SIZE) for i in range(3)},
    }
    weights = [
        numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name)
        for name, shape in tables.items()
    ]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["x0"])]
    for i in range(3):
        nodes += [
            helper.make_node("MatMul", [f"x{i}", f"up{i}"], [f"wide{i}"]),
            helper.make_node("Tanh", [f"wide{i}"], [f"bent{i}"]),
            helper.make_node("MatMul", [f"bent{i}", f"down{i}"], ["last_hidden_state" if i == 2 else f"x{i + 1}"]),
        ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    states = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", _HIDDEN_SIZE]
    )
    graph = helper.make_graph(nodes, f"encoder{seed}", [ids], [states], weights)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)


def _write_tokenizer(folder: Path, max_tokens: int = MAX_TOKENS) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    roles = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[END]"}
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    make(tokenizer_object=tokenizer, model_max_length=max_tokens, **roles).save_pretrained(folder)
