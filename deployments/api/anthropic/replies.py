"""What Anthropic's clients get back: a message, or the events that build one."""

from __future__ import annotations

import uuid
from typing import Literal

from typing_extensions import TypedDict

from deployments.api.http.generation import Generated, usage_of
from models.types import FinishReason, GenerationChunk, VersionId

StopReason = Literal["end_turn", "max_tokens", "stop_sequence"]


class Text(TypedDict):
    """The only kind of content."""

    type: Literal["text"]
    text: str


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
    content: list[Text]
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
        content=[Text(type="text", text=generated.text)],
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
    return "end_turn" if last.stop_string is None else "stop_sequence"


def usage(last: GenerationChunk) -> MessageUsage:
    """The counts of a whole generation, which its last chunk has."""
    counts = usage_of(last)
    return MessageUsage(input_tokens=counts.prompt_tokens, output_tokens=counts.completion_tokens)


def _new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"
