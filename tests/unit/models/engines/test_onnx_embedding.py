"""Graphs that embed texts: how they are fed, and which of their outputs is the embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from models.engines.base import EmbeddingEngine, EngineSettings, TensorEngine
from models.engines.onnx import OnnxEmbeddingEngine, OnnxEngine
from models.engines.pooling import Vectors, l2_normalize
from models.errors import ConfigError
from models.types import Pooling, Task, WeightFormat
from tests.unit.models.engines import models_for_tests as tiny

TEXTS = ["the quick brown fox", "dog", "jumps over"]
TABLE = np.random.default_rng(0).normal(size=(400, tiny.DIMENSION)).astype(np.float32)
SETTINGS = EngineSettings(max_model_len=16, max_batch_size=2)


def engine_in(folder: Path, *, pooling: Pooling = Pooling.MEAN) -> OnnxEmbeddingEngine:
    tiny.write_tokenizer(folder)
    return OnnxEmbeddingEngine(
        folder, tiny.manifest_of(folder, WeightFormat.ONNX, Task.EMBED, pooling=pooling), SETTINGS
    )


def states_of(folder: Path, text: str) -> Vectors:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TABLE[tokenizer.encode(text).ids]


def test_token_states_are_pooled(tmp_path: Path) -> None:
    tiny.text_encoder(tmp_path / "model.onnx", TABLE)
    result = engine_in(tmp_path).embed(TEXTS)
    means = np.stack([states_of(tmp_path, text).mean(axis=0) for text in TEXTS])
    np.testing.assert_allclose(result.vectors, l2_normalize(means), rtol=1e-5)
    assert result.usage.prompt_tokens == sum(len(states_of(tmp_path, text)) for text in TEXTS)


def test_a_sentence_embedding_is_taken_as_it_is(tmp_path: Path) -> None:
    tiny.text_encoder(tmp_path / "model.onnx", TABLE, pooled=True)
    result = engine_in(tmp_path).embed(TEXTS[:1])
    np.testing.assert_allclose(result.vectors, l2_normalize(states_of(tmp_path, TEXTS[0])[-1:]), rtol=1e-5)


def test_it_also_takes_tensors(tmp_path: Path) -> None:
    tiny.text_encoder(tmp_path / "model.onnx", TABLE)
    engine = engine_in(tmp_path)
    assert isinstance(engine, EmbeddingEngine)
    assert isinstance(engine, TensorEngine)
    assert [spec.name for spec in engine.inputs] == ["input_ids", "attention_mask"]


def test_a_plain_graph_does_not_embed(tmp_path: Path) -> None:
    tiny.arithmetic(tmp_path / "model.onnx")
    engine = OnnxEngine(tmp_path, tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER), SETTINGS)
    assert not isinstance(engine, EmbeddingEngine)


def test_inputs_that_are_not_made_from_text_are_refused(tmp_path: Path) -> None:
    tiny.text_encoder(tmp_path / "model.onnx", TABLE, id_name="pixels")
    with pytest.raises(ConfigError, match="'pixels' as INT32"):
        engine_in(tmp_path)


def test_a_graph_without_embeddings_is_refused(tmp_path: Path) -> None:
    tiny.echo(tmp_path / "model.onnx")
    with pytest.raises(ConfigError, match=r"'said' of the graph is BYTES \[-1\]"):
        engine_in(tmp_path)


def test_a_manifest_without_embedding_facts_is_refused(tmp_path: Path) -> None:
    tiny.text_encoder(tmp_path / "model.onnx", TABLE)
    tiny.write_tokenizer(tmp_path)
    manifest = tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER)
    with pytest.raises(ConfigError, match="does not say how"):
        OnnxEmbeddingEngine(tmp_path, manifest, SETTINGS)
