"""A message as Anthropic's stream of named events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict

from deployments.api.anthropic.errors import ErrorReply, error_body
from deployments.api.anthropic.replies import (
    MessageReply,
    MessageUsage,
    StopReason,
    Text,
    begun_message,
    stop_reason,
    usage,
)
from deployments.api.http.errors import Problem
from deployments.api.http.generation import Piece
from deployments.api.http.sse import event
from models.types import GenerationChunk


class MessageStart(TypedDict):
    """The message without content."""

    type: Literal["message_start"]
    message: MessageReply


class ContentBlockStart(TypedDict):
    """The text begins."""

    type: Literal["content_block_start"]
    index: int
    content_block: Text


class Ping(TypedDict):
    """Nothing but a sign of life."""

    type: Literal["ping"]


class TextDelta(TypedDict):
    """New text."""

    type: Literal["text_delta"]
    text: str


class ContentBlockDelta(TypedDict):
    """The text goes on."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextDelta


class ContentBlockStop(TypedDict):
    """The text is complete."""

    type: Literal["content_block_stop"]
    index: int


class MessageEnd(TypedDict):
    """Why the message ended."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(TypedDict):
    """The end of the message, and its counts."""

    type: Literal["message_delta"]
    delta: MessageEnd
    usage: MessageUsage


class MessageStop(TypedDict):
    """Nothing follows."""

    type: Literal["message_stop"]


Event = (
    MessageStart
    | ContentBlockStart
    | Ping
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | ErrorReply
)


class MessageEncoder:
    """Writes one generation."""

    def __init__(self) -> None:
        self._begun = False
        self._last = GenerationChunk("")

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """What is new, after the events that open a message before the first of it."""
        opening = b"" if self._begun else _opening(pieces[0])
        self._begun, self._last = True, pieces[-1].chunk
        return opening + b"".join(_delta(piece.chunk.text) for piece in pieces if piece.chunk.text)

    def end(self) -> bytes:
        """The end of the text and of the message."""
        end = MessageEnd(stop_reason=stop_reason(self._last), stop_sequence=self._last.stop_string)
        return (
            _write(ContentBlockStop(type="content_block_stop", index=0))
            + _write(MessageDelta(type="message_delta", delta=end, usage=usage(self._last)))
            + _write(MessageStop(type="message_stop"))
        )

    def error(self, problem: Problem) -> bytes:
        """The event after which nothing follows."""
        return _write(error_body(problem))


def _opening(first: Piece) -> bytes:
    message = begun_message(first.version, first.chunk.num_prompt_tokens)
    return (
        _write(MessageStart(type="message_start", message=message))
        + _write(ContentBlockStart(type="content_block_start", index=0, content_block=Text(type="text", text="")))
        + _write(Ping(type="ping"))
    )


def _delta(text: str) -> bytes:
    return _write(
        ContentBlockDelta(type="content_block_delta", index=0, delta=TextDelta(type="text_delta", text=text))
    )


def _write(data: Event) -> bytes:
    return event(data, data["type"])
