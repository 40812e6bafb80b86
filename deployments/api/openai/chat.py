"""``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, Self, TypedDict

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from deployments.api.http.call import call_of
from deployments.api.http.generation import Generated, Order, Piece, collect
from deployments.api.http.parsing import WireModel, only, parse
from deployments.api.http.sse import EventStream
from deployments.api.openai.options import GenerationFields
from deployments.api.openai.replies import ChunkEncoder, Frame, whole_reply
from deployments.dataplane.operations import DataPlane
from models.errors import InvalidRequestError
from models.types import ChatMessage, Conversation


def _text(content: object) -> object:
    """Text parts are joined by newlines, as vLLM does for templates that take one string."""
    if not isinstance(content, list):
        return content
    for index, part in enumerate(content):
        _check_part(index, part)
    return "\n".join(part["text"] for part in content)


def _check_part(index: int, part: object) -> None:
    match part:
        case {"type": "text", "text": str(), **others} if not others:
            return
        case {"type": str(kind)} if kind != "text":
            raise PydanticCustomError(
                "part",
                "Part {index} is of type {kind}; only text is supported",
                {"index": index, "kind": repr(kind)},
            )
    raise PydanticCustomError(
        "part", 'Part {index} should be an object with "type": "text" and "text": a string', {"index": index}
    )


class Message(WireModel):
    """One turn. The fields that only tools, audio and refusals use may be there, and null."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_text)]
    name: Annotated[None, only()] = None
    refusal: Annotated[None, only()] = None
    audio: Annotated[None, only()] = None
    function_call: Annotated[None, only()] = None
    tool_calls: Annotated[None, only([])] = None
    annotations: Annotated[None, only([])] = None

    def turn(self) -> ChatMessage:
        """In the words of chat templates, which know no developer."""
        return ChatMessage("system" if self.role == "developer" else self.role, self.content)


class ChatRequest(GenerationFields):
    """The body of a chat call."""

    messages: tuple[Message, ...] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, gt=0)

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
    response_format: Annotated[None, only({"type": "text"})] = None
    tool_choice: Annotated[None, only("none", "auto")] = None
    tools: Annotated[None, only([])] = None
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

    def order(self) -> Order:
        """What the data plane is asked to do."""
        conversation = Conversation(tuple(message.turn() for message in self.messages))
        sampling = self.sampling(self.max_completion_tokens or self.max_tokens)
        return Order(self.model, (conversation,), sampling)


class Delta(TypedDict):
    """What a chunk adds to the message."""

    role: NotRequired[str]
    content: NotRequired[str]


class ChatEndpoint:
    """Answers chat calls."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> ASGIApp:
        """Generate the next message, whole or as a stream."""
        body = parse(ChatRequest, await request.body())
        call = call_of(request.scope)
        if body.stream:
            frame = Frame.new("chatcmpl", "chat.completion.chunk")
            encoder = ChunkEncoder(frame, body.include_usage, _chunk_choice)
            return EventStream(self._dataplane, body.order(), call, encoder)
        results = await collect(self._dataplane, body.order(), call)
        frame = Frame.new("chatcmpl", "chat.completion")
        return JSONResponse(whole_reply(frame, results, [_choice(result) for result in results]))


def _choice(result: Generated) -> dict[str, object]:
    message = {"role": "assistant", "content": result.text, "refusal": None}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": result.last.finish_reason}


def _chunk_choice(piece: Piece, first: bool) -> dict[str, object]:
    delta = Delta()
    if first:
        delta["role"] = "assistant"
    if piece.chunk.text or first:
        delta["content"] = piece.chunk.text
    return {"index": piece.index, "delta": delta, "logprobs": None, "finish_reason": piece.chunk.finish_reason}
