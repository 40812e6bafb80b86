"""``POST .../generate`` and ``.../generate_stream``: the protocol's text generation extension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.errors import Problem
from deployments.api.http.event import event
from deployments.api.http.generation import Order, Piece, collect
from deployments.api.http.parsing import WireModel, parse
from deployments.api.http.sampling import SamplingFields
from deployments.api.http.sse import EventStream
from deployments.api.oip.errors import error_body
from deployments.api.oip.target import target
from deployments.dataplane.operations import DataPlane
from models.types import GenerationChunk, VersionId


class GenerateParameters(SamplingFields):
    """``details`` asks for the finish reason and the token counts."""

    details: bool = False


class GenerateBody(WireModel):
    """The body of a generation call."""

    text_input: str
    id: str | None = None
    parameters: GenerateParameters = GenerateParameters()


class Details(TypedDict):
    """How a generation ended, and what it counted."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class GenerateReply(TypedDict):
    """A response, or one event of a stream, whose ``text_output`` is what is new."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    text_output: str
    details: NotRequired[Details]


class GenerateEndpoint:
    """Answers generation calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def generate(self, request: Request) -> ASGIApp:
        """The whole continuation of ``text_input``."""
        body = parse(GenerateBody, await request.body())
        results = await collect(self._dataplane, _order(request, body), call_of(request.scope))
        result = results[0]
        return JSONResponse(_reply(body, result.version, result.text, result.last))

    async def generate_stream(self, request: Request) -> ASGIApp:
        """The continuation as server-sent events."""
        body = parse(GenerateBody, await request.body())
        return EventStream(self._dataplane, _order(request, body), call_of(request.scope), _ReplyEncoder(body))


class _ReplyEncoder:
    def __init__(self, body: GenerateBody) -> None:
        self._body = body

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        return b"".join(self._event(piece) for piece in pieces)

    def end(self) -> bytes:
        return b""

    def error(self, problem: Problem) -> bytes:
        return event(error_body(problem))

    def _event(self, piece: Piece) -> bytes:
        return event(_reply(self._body, piece.version, piece.chunk.text, piece.chunk))


def _order(request: Request, body: GenerateBody) -> Order:
    return Order(target(request), (body.text_input,), body.parameters.sampling(body.parameters.max_tokens))


def _reply(body: GenerateBody, version: VersionId, text: str, chunk: GenerationChunk) -> GenerateReply:
    reply = GenerateReply(model_name=version.name, model_version=version.version, text_output=text)
    if body.id is not None:
        reply["id"] = body.id
    if body.parameters.details and chunk.finish_reason is not None and chunk.usage is not None:
        reply["details"] = Details(
            finish_reason=chunk.finish_reason,
            prompt_tokens=chunk.usage.prompt_tokens,
            completion_tokens=chunk.usage.completion_tokens,
        )
    return reply
