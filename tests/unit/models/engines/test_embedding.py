"""A small BERT through the engine against the same model called by hand, one text at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from models.engines.base import EmbeddingEngine, EngineSettings, TensorEngine
from models.engines.embedding import TransformersEmbeddingEngine
from models.engines.pooling import Vectors
from models.errors import ConfigError, ContextLengthError, EngineError, InvalidRequestError
from models.types import InferRequest, Pooling, Task, Tensor, TensorSpec, WeightFormat
from tests.unit.models.engines import models_for_tests as tiny

TEXTS = ("the quick brown fox jumps over", "dog", "", "the lazy dog", "jumps")
SETTINGS = EngineSettings(max_model_len=64, max_batch_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    tiny.write_tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=400,
        hidden_size=tiny.DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def engine(folder: Path) -> Iterator[TransformersEmbeddingEngine]:
    engine = load(folder)
    yield engine
    engine.close()


def load(folder: Path, *, pooling: Pooling = Pooling.MEAN, normalize: bool = True) -> TransformersEmbeddingEngine:
    manifest = tiny.manifest_of(folder, WeightFormat.SAFETENSORS, Task.EMBED, pooling=pooling, normalize=normalize)
    return TransformersEmbeddingEngine(folder, manifest, SETTINGS)


def ids_of(folder: Path, text: str) -> list[int]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids: list[int] = tokenizer.encode(text).ids
    return ids


def states_of(folder: Path, text: str) -> Vectors:
    model = BertModel.from_pretrained(folder)
    with torch.inference_mode():
        states: Vectors = model(torch.tensor([ids_of(folder, text)])).last_hidden_state[0].numpy()
    return states


def test_mean_pooling_leaves_padding_out_and_keeps_the_order(
    folder: Path, engine: TransformersEmbeddingEngine
) -> None:
    assert isinstance(engine, EmbeddingEngine)
    result = engine.embed(TEXTS)
    means = np.stack([states_of(folder, text).mean(axis=0) for text in TEXTS])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(result.vectors, expected, atol=1e-5)
    assert result.vectors.dtype == np.float32
    assert result.usage.prompt_tokens == sum(map(len, engine.tokenize(TEXTS)))


def test_cls_pooling_without_normalisation(folder: Path) -> None:
    vectors = load(folder, pooling=Pooling.CLS, normalize=False).embed(TEXTS).vectors
    np.testing.assert_allclose(vectors, np.stack([states_of(folder, text)[0] for text in TEXTS]), atol=1e-5)


def test_token_ids_give_the_vector_of_their_text(folder: Path, engine: TransformersEmbeddingEngine) -> None:
    by_text, by_ids = engine.embed([TEXTS[0], tuple(ids_of(folder, TEXTS[0]))]).vectors
    np.testing.assert_allclose(by_text, by_ids, atol=1e-6)


def test_no_inputs_give_no_vectors(engine: TransformersEmbeddingEngine) -> None:
    assert engine.embed([]).vectors.shape == (0, tiny.DIMENSION)


def test_too_long_a_text_is_refused_and_not_cut(engine: TransformersEmbeddingEngine) -> None:
    longest = "dog " * (tiny.MAX_TOKENS - 2)
    assert [len(ids) for ids in engine.tokenize([longest])] == [tiny.MAX_TOKENS]
    with pytest.raises(ContextLengthError, match="input 1 has 17 tokens; the model takes at most 16"):
        engine.embed(["dog", longest + "dog"])


def test_it_takes_text_as_a_tensor(engine: TransformersEmbeddingEngine) -> None:
    assert isinstance(engine, TensorEngine)
    text = Tensor("text", "BYTES", np.array([each.encode() for each in TEXTS], dtype=np.object_))
    (embedding,) = engine.infer(InferRequest((text,), outputs=("embedding",)))
    assert TensorSpec(embedding.name, embedding.datatype, (-1, tiny.DIMENSION)) in engine.outputs
    np.testing.assert_array_equal(embedding.data, engine.embed(TEXTS).vectors)


def test_a_tensor_of_another_name_is_refused(engine: TransformersEmbeddingEngine) -> None:
    with pytest.raises(InvalidRequestError, match="no input 'input_ids'"):
        engine.infer(InferRequest((Tensor("input_ids", "INT64", np.zeros((1, 2), dtype=np.int64)),)))


def test_a_closed_engine_says_so(folder: Path) -> None:
    engine = load(folder)
    engine.check()
    assert engine.stats().num_running == 0
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.check()
    with pytest.raises(EngineError, match="closed"):
        engine.embed(["dog"])


def test_missing_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layer.1.output.dense" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"2 weights are missing.*encoder\.layer\.1\.output\.dense\.bias"):
        load(tmp_path)


def test_a_model_without_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ConfigError, match=r"no tokenizer\.json"):
        load(tmp_path)
