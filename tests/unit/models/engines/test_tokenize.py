"""Inputs are counted, refused or batched; none is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engines.parts import FRESH
from models.engines.tokenize import TextTokenizer, batches
from models.errors import ContextLengthError, InvalidRequestError
from models.types import Task, WeightFormat
from tests.unit.models.engines import models_for_tests as tiny

ENCODED = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9).map(tuple), max_size=20)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    manifest = tiny.manifest_of(folder, WeightFormat.ONNX, Task.EMBED)
    return TextTokenizer(FRESH.tokenizer(folder, manifest), max_tokens=6)


@given(encoded=ENCODED, max_batch_size=st.integers(1, 6))
def test_batches_hold_every_input_once(encoded: list[tuple[int, ...]], max_batch_size: int) -> None:
    seen: dict[int, tuple[int, ...]] = {}
    for batch in batches(encoded, max_batch_size):
        assert 0 < len(batch.positions) <= max_batch_size
        for position, ids, mask in zip(batch.positions, batch.input_ids, batch.attention_mask, strict=True):
            assert position not in seen
            seen[position] = tuple(ids[mask == 1].tolist())
    assert seen == dict(enumerate(encoded))


@given(encoded=ENCODED, max_batch_size=st.integers(1, 6))
def test_a_batch_is_as_wide_as_its_longest_input(encoded: list[tuple[int, ...]], max_batch_size: int) -> None:
    widths = [batch.input_ids.shape[1] for batch in batches(encoded, max_batch_size)]
    assert widths == [len(ids) for ids in sorted(encoded, key=len, reverse=True)[::max_batch_size]]


def test_padding_is_on_the_right() -> None:
    (batch,) = batches([(7,), (5, 6)], 2)
    np.testing.assert_array_equal(batch.attention_mask, [[1, 1], [1, 0]])


def test_texts_get_special_tokens_and_ids_do_not(tokenizer: TextTokenizer) -> None:
    by_text, by_ids = tokenizer.encode(["the dog", (5, 6)])
    assert len(by_text) == 4
    assert by_ids == (5, 6)


def test_the_limit_counts_special_tokens(tokenizer: TextTokenizer) -> None:
    with pytest.raises(ContextLengthError, match="input 0 has 7 tokens; the model takes at most 6"):
        tokenizer.encode(["dog dog dog dog dog"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((), "input 0 has no tokens"),
        ((1, 10**6), "token ids from 1 to 1000000; the model's vocabulary ends at"),
        ((-1, 5), "token ids from -1 to 5"),
        ("half a \ud83d", "surrogate"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    tokenizer: TextTokenizer, value: str | tuple[int, ...], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as refused:
        tokenizer.encode([value])
    assert refused.value.param == "input"
