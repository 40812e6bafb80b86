"""From token states to one vector per text, as sentence-transformers defines it."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import numpy.typing as npt

from models.types import Pooling

Vectors = npt.NDArray[np.float32]


def pool(states: npt.NDArray[np.floating], attention_mask: npt.NDArray[np.int64], pooling: Pooling) -> Vectors:
    """States [batch, tokens, dim] and their mask [batch, tokens] to vectors [batch, dim].

    Padding is on the right, and each text has at least one token.
    """
    match pooling:
        case Pooling.MEAN:
            return _masked_mean(states, attention_mask)
        case Pooling.CLS:
            return states[:, 0].astype(np.float32)
        case _:
            assert_never(pooling)


def l2_normalize(vectors: Vectors) -> Vectors:
    """Each vector divided by its length; lengths below 1e-12 count as that, as in torch's ``normalize``."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit


def _masked_mean(states: npt.NDArray[np.floating], attention_mask: npt.NDArray[np.int64]) -> Vectors:
    weights = attention_mask[:, :, None].astype(np.float32)
    sums = (states.astype(np.float32, copy=False) * weights).sum(axis=1)
    means: Vectors = sums / weights.sum(axis=1)
    return means
