"""How alike texts are, by the embeddings that one model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from models.errors import EngineError, WrongTaskError
from models.types import EmbeddingRequest, Usage, VersionId

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Similarities:
    """``scores``: the cosine of each pair's vectors, from -1 to 1, in order."""

    version: VersionId
    scores: tuple[float, ...]
    usage: Usage


async def similarities(
    dataplane: DataPlane, model: str, left: Sequence[str], right: Sequence[str], call: Call
) -> Similarities:
    """Compare each text on the left with its neighbour on the right, or a single one with all of them.

    WrongTaskError for a model that does not embed: cross-encoders, which read both texts at once, are not served.
    """
    try:
        version, result = await dataplane.embed(model, EmbeddingRequest((*left, *right)), call)
    except WrongTaskError as error:
        raise WrongTaskError(
            error.message, remedy="texts are compared by their embeddings: name a model that embeds", param="model"
        ) from error
    vectors = _unit(result.vectors.astype(np.float64))
    if not np.isfinite(vectors).all():
        raise EngineError(f"{version} computed a vector with NaN or infinity in it")
    cosines = np.sum(vectors[: len(left)] * vectors[len(left) :], axis=1)
    return Similarities(version, tuple(np.clip(cosines, -1, 1).tolist()), result.usage)


def _unit(vectors: Vectors) -> Vectors:
    """Each vector divided by its length; one of length 0 stays, so that it is like no other."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.where(lengths == 0, 1, lengths)
    return unit
