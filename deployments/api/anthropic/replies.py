"""What Anthropic's clients get back: a message, or the events that build one."""

from __future__ import annotations

import json
import uuid
from typing import Literal

from pydantic import JsonValue
from pydantic_core import from_json
from typing_extensions import TypedDict

from deployments.api.http.generation import Generated, usage_of
from models.errors import EngineError
from models.tools import ToolCallPiece
from models.types import FinishReason, GenerationChunk, VersionId

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class Text(TypedDict):
    """What the model says."""

    type: Literal["text"]
    text: str


class ToolUse(TypedDict):
    """A tool that the model calls; the caller runs it and sends the result."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, JsonValue]


class MessageUsage(TypedDict):
    """Token counts."""

    input_tokens: int
    output_tokens: int


class MessageReply(TypedDict):
    """A message; its end is open while it is streamed."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Text | ToolUse]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


def whole_message(generated: Generated) -> MessageReply:
    """The response to a call that does not stream."""
    return MessageReply(
        id=_new_id(),
        type="message",
        role="assistant",
        model=str(generated.version),
        content=_content(generated),
        stop_reason=stop_reason(generated.last),
        stop_sequence=generated.last.stop_string,
        usage=usage(generated.last),
    )


def begun_message(version: VersionId, num_prompt_tokens: int) -> MessageReply:
    """A message of which nothing has been sent."""
    return MessageReply(
        id=_new_id(),
        type="message",
        role="assistant",
        model=str(version),
        content=[],
        stop_reason=None,
        stop_sequence=None,
        usage=MessageUsage(input_tokens=num_prompt_tokens, output_tokens=0),
    )


def stop_reason(last: GenerationChunk) -> StopReason:
    """Why the message ended."""
    if last.finish_reason is FinishReason.LENGTH:
        return "max_tokens"
    if last.finish_reason is FinishReason.TOOL_CALLS:
        return "tool_use"
    return "end_turn" if last.stop_string is None else "stop_sequence"


def usage(last: GenerationChunk) -> MessageUsage:
    """The counts of a whole generation, which its last chunk has."""
    counts = usage_of(last)
    return MessageUsage(input_tokens=counts.prompt_tokens, output_tokens=counts.completion_tokens)


def begun_call(call: ToolCallPiece) -> ToolUse:
    """A call of which nothing but the name is known yet."""
    return ToolUse(type="tool_use", id=f"toolu_{uuid.uuid4().hex[:24]}", name=call.name or "", input={})


def _content(generated: Generated) -> list[Text | ToolUse]:
    said = [Text(type="text", text=generated.text)] if generated.text or not generated.tool_calls else []
    return [*said, *map(_whole_call, generated.tool_calls)]


def _whole_call(call: ToolCallPiece) -> ToolUse:
    """Of one that the token limit cut off, the input as far as it goes; EngineError for what cannot be sent."""
    use = begun_call(call)
    try:
        use["input"] = from_json(call.arguments or "{}", allow_partial=True)
        json.dumps(use["input"], allow_nan=False)
    except ValueError as error:
        raise EngineError(
            f"the model called {call.name} with an input that no message can carry: {error}",
            remedy="stream the message: there the input is text",
        ) from error
    return use


def _new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"
