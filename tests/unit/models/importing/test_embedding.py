from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import SourceError
from models.importing.embedding import read_embedding
from models.manifest import EmbeddingFacts
from models.types import Pooling
from tests.unit.models.tiny_models import write_json, write_sentence_transformer


@pytest.mark.parametrize("normalize", [True, False])
def test_sentence_transformers_files(tmp_path: Path, normalize: bool) -> None:
    write_sentence_transformer(tmp_path, normalize=normalize)
    facts = read_embedding(tmp_path, None, (24, 32))
    assert facts == EmbeddingFacts(pooling=Pooling.MEAN, normalize=normalize, dimension=8, max_tokens=16)


def test_without_them_their_defaults_hold(tmp_path: Path) -> None:
    facts = read_embedding(tmp_path, 4, (None, 32))
    assert facts == EmbeddingFacts(pooling=Pooling.MEAN, normalize=False, dimension=4, max_tokens=32)


@pytest.mark.parametrize(
    "config", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}]
)
def test_both_ways_to_write_a_mode(tmp_path: Path, config: dict[str, object]) -> None:
    write_sentence_transformer(tmp_path)
    write_json(tmp_path / "1_Pooling" / "config.json", config)
    assert read_embedding(tmp_path, 8, ()).pooling is Pooling.CLS


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"pooling_mode_max_tokens": True}, "by max "),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "by mean and max "),
        ({"pooling_mode": "lasttoken"}, "by lasttoken "),
        ({}, "by nothing "),
    ],
)
def test_other_modes_are_refused(tmp_path: Path, config: dict[str, object], words: str) -> None:
    write_sentence_transformer(tmp_path)
    write_json(tmp_path / "1_Pooling" / "config.json", config)
    with pytest.raises(SourceError, match=words):
        read_embedding(tmp_path, 8, ())


def test_a_module_that_no_engine_computes_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "modules.json", [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])
    with pytest.raises(SourceError, match=r"needs sentence_transformers\.models\.Dense"):
        read_embedding(tmp_path, 8, (16,))


@pytest.mark.parametrize(("dimension", "limits"), [(None, (16,)), (8, (None,))])
def test_what_nobody_says_is_not_guessed(tmp_path: Path, dimension: int | None, limits: tuple[int | None]) -> None:
    with pytest.raises(SourceError, match="do not say"):
        read_embedding(tmp_path, dimension, limits)
