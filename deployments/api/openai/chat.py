"""``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, NotRequired, Self

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.generation import Generated, Order, Piece, collect
from deployments.api.http.parsing import only, parse
from deployments.api.http.sse import EventStream
from deployments.api.http.tools import MAX_TOOLS
from deployments.api.openai.messages import Message, check_messages
from deployments.api.openai.options import GenerationFields
from deployments.api.openai.replies import ChunkEncoder, Frame, whole_reply
from deployments.api.openai.structured import ResponseFormat
from deployments.api.openai.tools import (
    CallBody,
    Tool,
    ToolChoiceField,
    call_part,
    tools_of,
    whole_call,
)
from deployments.dataplane.operations import DataPlane
from models.errors import InvalidRequestError
from models.types import Conversation, Grammar


class ChatRequest(GenerationFields):
    """The body of a chat call."""

    messages: tuple[Message, ...] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None

    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: Annotated[None, only("auto", "default")] = None
    store: Annotated[None, only(False)] = None

    audio: Annotated[None, only()] = None
    function_call: Annotated[None, only("none", "auto")] = None
    functions: Annotated[None, only([])] = None
    logprobs: Annotated[None, only(False)] = None
    modalities: Annotated[None, only(["text"])] = None
    moderation: Annotated[None, only()] = None
    prediction: Annotated[None, only()] = None
    prompt_cache_options: Annotated[None, only()] = None
    prompt_cache_retention: Annotated[None, only("in_memory")] = None
    reasoning_effort: Annotated[None, only("none")] = None
    top_logprobs: Annotated[None, only(0)] = None
    verbosity: Annotated[None, only("medium")] = None
    web_search_options: Annotated[None, only()] = None

    @model_validator(mode="after")
    def _one_token_limit(self) -> Self:
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise InvalidRequestError(
                f"max_tokens={self.max_tokens} contradicts max_completion_tokens={self.max_completion_tokens}",
                remedy="send max_completion_tokens only",
                param="max_tokens",
            )
        return self

    @model_validator(mode="after")
    def _whole_messages(self) -> Self:
        check_messages(self.messages)
        return self

    def order(self) -> Order:
        """What the data plane is asked to do."""
        tools = tools_of(self.tools or (), self.tool_choice, self.parallel_tool_calls)
        conversation = Conversation(tuple(message.turn() for message in self.messages), tools)
        sampling = self.sampling(self.max_completion_tokens or self.max_tokens)
        return Order(self.model, (conversation,), sampling, self._grammar())

    def _grammar(self) -> Grammar | None:
        formatted = self.response_format.grammar() if self.response_format is not None else None
        if formatted is None:
            return self.grammar()
        if self.structured_outputs is not None:
            raise InvalidRequestError(
                "response_format and structured_outputs are two forms for one text",
                remedy="send one of them",
                param="structured_outputs",
            )
        return formatted


class Delta(TypedDict):
    """What a chunk adds to the message."""

    role: NotRequired[str]
    content: NotRequired[str]
    tool_calls: NotRequired[list[CallBody]]


class ReplyMessage(TypedDict):
    """The model's turn; ``content`` is null where there are calls in its place."""

    role: str
    content: str | None
    refusal: None
    tool_calls: NotRequired[list[CallBody]]


class ChatChoice(TypedDict):
    """A whole message, and why it ended."""

    index: int
    message: ReplyMessage
    logprobs: None
    finish_reason: str | None


class ChatChunkChoice(TypedDict):
    """The next part of a message; the last one says why it ended."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: str | None


class ChatEndpoint:
    """Answers chat calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> ASGIApp:
        """Generate the next message, whole or as a stream."""
        body = parse(ChatRequest, await request.body())
        call = call_of(request.scope).for_user(body.user)
        if body.stream:
            frame = Frame.new("chatcmpl", "chat.completion.chunk")
            encoder = ChunkEncoder(frame, body.include_usage, _chunk_choice)
            return EventStream(self._dataplane, body.order(), call, encoder)
        results = await collect(self._dataplane, body.order(), call)
        frame = Frame.new("chatcmpl", "chat.completion")
        return JSONResponse(whole_reply(frame, results, [_choice(result) for result in results]))


def _choice(result: Generated) -> ChatChoice:
    message = ReplyMessage(role="assistant", content=result.text, refusal=None)
    if result.tool_calls:
        message["content"] = result.text or None
        message["tool_calls"] = [whole_call(call) for call in result.tool_calls]
    return ChatChoice(index=0, message=message, logprobs=None, finish_reason=result.last.finish_reason)


def _chunk_choice(piece: Piece, first: bool) -> ChatChunkChoice:
    delta = Delta()
    if first:
        delta["role"] = "assistant"
    if piece.chunk.text or first:
        delta["content"] = piece.chunk.text
    if piece.chunk.tool_calls:
        delta["tool_calls"] = [call_part(call) for call in piece.chunk.tool_calls]
    return ChatChunkChoice(index=piece.index, delta=delta, logprobs=None, finish_reason=piece.chunk.finish_reason)
