"""BYTES tensors are text wherever a model reads them: in UTF-8, both ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.errors import InvalidRequestError
from models.types import Tensor, TensorSpec

Texts = npt.NDArray[np.object_]

TEXT = TensorSpec("text", "BYTES", (-1,))


def embedding_spec(dimension: int) -> TensorSpec:
    """What an engine that embeds ``TEXT`` gives: one vector for each text."""
    return TensorSpec("embedding", "FP32", (-1, dimension))


def to_texts(tensor: Tensor) -> Texts:
    """The ``str`` of each element, in the tensor's shape; InvalidRequestError for bytes that are not UTF-8."""
    try:
        return _map(tensor.data, bytes.decode)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"input {tensor.name!r} holds {error.object[:20]!r}, which is not UTF-8",
            remedy="send text in UTF-8",
            param=tensor.name,
        ) from error


def to_bytes(texts: npt.NDArray[np.generic]) -> Texts:
    """The UTF-8 of each ``str``, in the array's shape."""
    return _map(texts, str.encode)


def _map(array: npt.NDArray[np.generic], function: Callable[..., object]) -> Texts:
    mapped: Texts = np.vectorize(function, otypes=[np.object_])(array)
    return mapped
