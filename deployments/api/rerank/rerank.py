"""``POST /v1/rerank``: which of these documents answers the query best."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, NotRequired

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.parsing import WireModel, only, parse
from deployments.api.rerank.similarity import Similarities, similarities
from deployments.api.rerank.usage import ComparisonUsage, usage_reply
from deployments.dataplane.operations import DataPlane

MAX_DOCUMENTS = 2047


class Document(WireModel):
    """A document with nothing but its text."""

    text: str


def _document(value: object) -> object:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return value
    raise PydanticCustomError("document", 'Input should be a string, or an object with a "text"')


class RerankRequest(WireModel):
    """``top_n``: None and, as in vLLM, 0 mean all. ``return_documents`` puts the texts into the results, which is
    what Jina and vLLM do by default. The last group is refused: no text is cut."""

    model: str
    query: str
    documents: tuple[
        Annotated[Document, BeforeValidator(_document, json_schema_input_type=str | Document)], ...
    ] = Field(min_length=1, max_length=MAX_DOCUMENTS)
    top_n: int | None = Field(default=None, ge=0)
    return_documents: bool = True
    user: str | None = None

    max_chunks_per_doc: Annotated[None, only()] = None
    max_tokens_per_doc: Annotated[None, only()] = None
    rank_fields: Annotated[None, only(["text"])] = None
    truncate_prompt_tokens: Annotated[None, only()] = None

    @property
    def texts(self) -> list[str]:
        """The documents, in order."""
        return [document.text for document in self.documents]


class RankedText(TypedDict):
    """The text of a document."""

    text: str


class Ranked(TypedDict):
    """A document by its place in the request, and the cosine of its vector with the query's, from -1 to 1."""

    index: int
    relevance_score: float
    document: NotRequired[RankedText]


class RerankReply(TypedDict):
    """The documents asked for, the most relevant first; of equal ones the first given."""

    id: str
    model: str
    results: list[Ranked]
    usage: ComparisonUsage


class RerankEndpoint:
    """Answers rerank calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> Response:
        """Order documents by their relevance to a query."""
        body = parse(RerankRequest, await request.body())
        call = call_of(request.scope).for_user(body.user)
        texts = body.texts
        found = await similarities(self._dataplane, body.model, [body.query], texts, call)
        return JSONResponse(_reply(body, texts, found))


def _reply(body: RerankRequest, texts: Sequence[str], found: Similarities) -> RerankReply:
    best = sorted(range(len(texts)), key=lambda index: found.scores[index], reverse=True)
    return RerankReply(
        id=f"rerank-{uuid.uuid4().hex}",
        model=str(found.version),
        results=[
            _ranked(index, found.scores[index], texts[index] if body.return_documents else None)
            for index in best[: body.top_n or None]
        ],
        usage=usage_reply(found.usage),
    )


def _ranked(index: int, score: float, text: str | None) -> Ranked:
    ranked = Ranked(index=index, relevance_score=score)
    if text is not None:
        ranked["document"] = RankedText(text=text)
    return ranked
