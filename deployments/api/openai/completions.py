"""``POST /v1/completions``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.generation import Order, Piece, collect
from deployments.api.http.parsing import only, parse
from deployments.api.http.sse import EventStream
from deployments.api.openai.inputs import Inputs
from deployments.api.openai.options import GenerationFields
from deployments.api.openai.replies import ChunkEncoder, Frame, whole_reply
from deployments.dataplane.operations import DataPlane

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128


class CompletionRequest(GenerationFields):
    """The body of a completion call; one choice for each prompt."""

    prompt: Inputs = Field(max_length=MAX_PROMPTS)

    best_of: Annotated[None, only(1)] = None
    echo: Annotated[None, only(False)] = None
    logprobs: Annotated[None, only()] = None
    suffix: Annotated[None, only("")] = None

    def order(self) -> Order:
        """What the data plane is asked to do."""
        sampling = self.sampling(self.max_tokens or DEFAULT_MAX_TOKENS)
        return Order(self.model, self.prompt, sampling, self.grammar())


class TextChoice(TypedDict):
    """A text, or the next part of one; the last part says why it ended."""

    index: int
    text: str
    logprobs: None
    finish_reason: str | None


class CompletionEndpoint:
    """Answers completion calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> ASGIApp:
        """Continue every prompt, whole or as a stream."""
        body = parse(CompletionRequest, await request.body())
        call = call_of(request.scope).for_user(body.user)
        frame = Frame.new("cmpl", "text_completion")
        if body.stream:
            encoder = ChunkEncoder(frame, body.include_usage, _chunk_choice)
            return EventStream(self._dataplane, body.order(), call, encoder)
        results = await collect(self._dataplane, body.order(), call)
        choices = [_choice(index, result.text, result.last.finish_reason) for index, result in enumerate(results)]
        return JSONResponse(whole_reply(frame, results, choices))


def _choice(index: int, text: str, finish_reason: str | None) -> TextChoice:
    return TextChoice(index=index, text=text, logprobs=None, finish_reason=finish_reason)


def _chunk_choice(piece: Piece, _: bool) -> TextChoice:
    return _choice(piece.index, piece.chunk.text, piece.chunk.finish_reason)
