"""Small real models, written to a folder as the store would hold them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import processors

from models.manifest import EmbeddingFacts, FileEntry, Manifest
from models.types import Pooling, Task, WeightFormat
from tests.unit.models.engines import tokenizers_for_tests

DIMENSION = 8
MAX_TOKENS = 16


def manifest_of(
    folder: Path, weights: WeightFormat, task: Task, *, pooling: Pooling = Pooling.MEAN, normalize: bool = True
) -> Manifest:
    """What the store would know of ``folder``, checksums aside."""
    facts = EmbeddingFacts(pooling=pooling, normalize=normalize, dimension=DIMENSION, max_tokens=MAX_TOKENS)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Manifest(
        name="tiny",
        version="1",
        source="file:tiny",
        format=weights,
        task=task,
        files=tuple(FileEntry(path=name, size_bytes=size, sha256="0" * 64) for name, size in sizes.items()),
        dtype="float32",
        num_parameters=1,
        weight_bytes=sum(sizes.values()),
        embedding=facts if task is Task.EMBED else None,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def write_tokenizer(folder: Path) -> None:
    """BERT-like: each text between [CLS] and [SEP], and a truncation and padding that no engine may follow."""
    tokenizer = tokenizers_for_tests.word_piece()
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    vocabulary = tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.enable_truncation(max_length=4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_graph(
    path: Path, nodes: list[onnx.NodeProto], ends: tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]
) -> Path:
    graph = helper.make_graph(nodes, "tiny", *ends)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path


def arithmetic(path: Path) -> Path:
    """``sum`` and ``product`` of ``left`` [n, 3] and ``right`` [n, 3]."""
    left, right, total, product = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3])
        for name in ("left", "right", "sum", "product")
    )
    nodes = [
        helper.make_node("Add", ["left", "right"], ["sum"]),
        helper.make_node("Mul", ["left", "right"], ["product"]),
    ]
    return write_graph(path, nodes, ([left, right], [total, product]))


def cubed(path: Path) -> Path:
    """``cubed`` is the third power of the matrix ``square`` [n, n]."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "n"]) for name in ("square", "cubed")]
    nodes = [
        helper.make_node("MatMul", ["square", "square"], ["squared"]),
        helper.make_node("MatMul", ["squared", "square"], ["cubed"]),
    ]
    return write_graph(path, nodes, (ends[:1], ends[1:]))


def echo(path: Path) -> Path:
    """``said`` is the strings of ``say``, as they are."""
    ends = [helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("say", "said")]
    return write_graph(path, [helper.make_node("Identity", ["say"], ["said"])], (ends[:1], ends[1:]))


def lookup(path: Path) -> Path:
    """``row`` is the row of a table of four that ``index`` names."""
    table = numpy_helper.from_array(np.eye(4, dtype=np.float32), "values")
    nodes = [
        helper.make_node("Constant", [], ["table"], value=table),
        helper.make_node("Gather", ["table", "index"], ["row"]),
    ]
    index = helper.make_tensor_value_info("index", TensorProto.INT64, [None])
    return write_graph(
        path, nodes, ([index], [helper.make_tensor_value_info("row", TensorProto.FLOAT, [None, 4])])
    )


def text_encoder(path: Path, table: np.ndarray, *, pooled: bool = False, id_name: str = "input_ids") -> Path:
    """Token states from ``table`` [vocabulary, dim]; with ``pooled`` also each text's last state."""
    nodes = [
        helper.make_node("Constant", [], ["table"], value=numpy_helper.from_array(table, "values")),
        helper.make_node("Gather", ["table", id_name], ["states"]),
        helper.make_node("Constant", [], ["last"], value=numpy_helper.from_array(np.array(-1), "position")),
        helper.make_node("Gather", ["states", "last"], ["sentence_embedding"], axis=1),
    ]
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "tokens"])
        for name in (id_name, "attention_mask")
    )
    states = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "tokens", DIMENSION])
    last = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", DIMENSION])
    return write_graph(path, nodes, ([ids, mask], [states, last] if pooled else [states]))
