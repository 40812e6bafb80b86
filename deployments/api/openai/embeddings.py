"""``POST /v1/embeddings``."""

from __future__ import annotations

import base64
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.parsing import WireModel, parse
from deployments.api.openai.inputs import Inputs
from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from models.errors import EngineError, UnsupportedOptionError
from models.types import EmbeddingRequest, EmbeddingResult, VersionId

MAX_INPUTS = 2048


class EmbeddingBody(WireModel):
    """The body of an embedding call. base64 carries little-endian float32."""

    model: str
    input: Inputs = Field(max_length=MAX_INPUTS)
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, gt=0)
    user: str | None = None


class Embedding(TypedDict):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(TypedDict):
    """Token counts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    """The vectors of all inputs, in order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class EmbeddingEndpoint:
    """Answers embedding calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> Response:
        """One vector for each input, in order."""
        body = parse(EmbeddingBody, await request.body())
        call = call_of(request.scope).for_user(body.user)
        model = body.model
        if body.dimensions is not None:
            model = await self._with_dimensions(model, body.dimensions, call)
        version, result = await self._dataplane.embed(model, EmbeddingRequest(body.input), call)
        return JSONResponse(_reply(version, result, body.encoding_format or "float"))

    async def _with_dimensions(self, model: str, dimensions: int, call: Call) -> str:
        """The version that gets the call, if its vectors have this length."""
        chosen = await self._dataplane.choose(model, call)
        card = await self._dataplane.card(str(chosen.id), call)
        if card.embedding_dim not in (None, dimensions):
            raise UnsupportedOptionError(
                f"dimensions={dimensions}: vectors of {card.id} have {card.embedding_dim} dimensions",
                remedy=f"leave it out or send {card.embedding_dim}",
                param="dimensions",
            )
        return str(card.id)


def _reply(version: VersionId, result: EmbeddingResult, encoding: str) -> EmbeddingList:
    if not np.isfinite(result.vectors).all():
        raise EngineError(f"{version} computed a vector with NaN or infinity in it")
    encode = _base64 if encoding == "base64" else _floats
    usage = result.usage
    return EmbeddingList(
        object="list",
        data=[
            Embedding(object="embedding", index=index, embedding=encode(vector))
            for index, vector in enumerate(result.vectors)
        ],
        model=str(version),
        usage=EmbeddingUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens),
    )


def _floats(vector: npt.NDArray[np.float32]) -> list[float]:
    values: list[float] = vector.tolist()
    return values


def _base64(vector: npt.NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
