"""``POST /v1/score``: how alike the texts of each pair are, in vLLM's shape."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.parsing import WireModel, only, parse, string_or_list
from deployments.api.rerank.similarity import Similarities, similarities
from deployments.api.rerank.usage import ComparisonUsage, usage_reply
from deployments.dataplane.operations import DataPlane
from models.errors import InvalidRequestError

MAX_TEXTS = 1024


Texts = Annotated[
    tuple[str, ...],
    Field(min_length=1, max_length=MAX_TEXTS),
    string_or_list(str, str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]),
]


class ScoreRequest(WireModel):
    """Two sides, as ``text_1`` and ``text_2`` or, under vLLM's later names, ``queries`` and ``documents``."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["text_1", "text_2"]}, {"required": ["queries", "documents"]}]}
    )

    model: str
    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    user: str | None = None

    truncate_prompt_tokens: Annotated[None, only()] = None

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        given = [name for name in ("text_1", "text_2", "queries", "documents") if getattr(self, name)]
        if given not in (["text_1", "text_2"], ["queries", "documents"]):
            raise InvalidRequestError(
                f"the body has {' and '.join(given) or 'no texts'}",
                remedy="send either text_1 and text_2, or queries and documents",
                param=given[0] if given else "text_1",
            )
        left, right = self.sides
        if len(left) not in (1, len(right)):
            raise InvalidRequestError(
                f"{given[0]} has {len(left)} texts, {given[1]} {len(right)}",
                remedy=f"send one text as {given[0]}, or as many as {given[1]} has",
                param=given[0],
            )
        return self

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is compared with what: one text with each on the right, or every text with its neighbour."""
        return self.text_1 or self.queries or (), self.text_2 or self.documents or ()


class Score(TypedDict):
    """The cosine of the pair's vectors, from -1 to 1."""

    index: int
    object: Literal["score"]
    score: float


class ScoreReply(TypedDict):
    """The pairs' scores, in order."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Score]
    usage: ComparisonUsage


class ScoreEndpoint:
    """Answers score calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> Response:
        """Score pairs of texts by their similarity."""
        body = parse(ScoreRequest, await request.body())
        call = call_of(request.scope).for_user(body.user)
        return JSONResponse(_reply(await similarities(self._dataplane, body.model, *body.sides, call)))


def _reply(found: Similarities) -> ScoreReply:
    return ScoreReply(
        id=f"score-{uuid.uuid4().hex}",
        object="list",
        created=int(time.time()),
        model=str(found.version),
        data=[Score(index=index, object="score", score=score) for index, score in enumerate(found.scores)],
        usage=usage_reply(found.usage),
    )
