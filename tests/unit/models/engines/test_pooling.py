"""Pooling against torch's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.engines.pooling import Vectors, l2_normalize, pool
from models.types import Pooling

FLOATS = st.floats(-10, 10, width=32)


@given(
    states=arrays.arrays(np.float32, (3, 4, 2), elements=FLOATS),
    lengths=st.lists(st.integers(1, 4), min_size=3, max_size=3),
)
def test_mean_is_that_of_the_tokens_alone(states: Vectors, lengths: list[int]) -> None:
    mask = (np.arange(4) < np.array(lengths)[:, None]).astype(np.int64)
    means = [row[:length].mean(axis=0) for row, length in zip(states, lengths, strict=True)]
    np.testing.assert_allclose(pool(states, mask, Pooling.MEAN), np.stack(means), rtol=1e-4, atol=1e-5)


def test_cls_is_the_first_token() -> None:
    states = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    pooled = pool(states, np.ones((2, 3), dtype=np.int64), Pooling.CLS)
    np.testing.assert_array_equal(pooled, [[0, 1], [6, 7]])


@pytest.mark.parametrize("pooling", list(Pooling))
def test_half_precision_states_are_pooled_in_float32(pooling: Pooling) -> None:
    states = np.full((1, 3000, 1), 60, dtype=np.float16)  # their sum is beyond float16
    pooled = pool(states, np.ones((1, 3000), dtype=np.int64), pooling)
    assert pooled.dtype == np.float32
    assert pooled.item() == 60


@given(vectors=arrays.arrays(np.float32, (4, 3), elements=FLOATS))
def test_normalisation_is_that_of_torch(vectors: Vectors) -> None:
    expected = torch.nn.functional.normalize(torch.from_numpy(vectors), dim=1).numpy()
    np.testing.assert_allclose(l2_normalize(vectors), expected, rtol=1e-5, atol=1e-6)
