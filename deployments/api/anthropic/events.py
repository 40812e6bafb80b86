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
    ToolUse,
    begun_call,
    begun_message,
    stop_reason,
    usage,
)
from deployments.api.http.errors import Problem
from deployments.api.http.event import event
from deployments.api.http.generation import Piece
from models.tools import ToolCallPiece
from models.types import GenerationChunk


class MessageStart(TypedDict):
    """The message without content."""

    type: Literal["message_start"]
    message: MessageReply


class ContentBlockStart(TypedDict):
    """Text begins, or a call of a tool."""

    type: Literal["content_block_start"]
    index: int
    content_block: Text | ToolUse


class Ping(TypedDict):
    """Nothing but a sign of life."""

    type: Literal["ping"]


class TextDelta(TypedDict):
    """New text."""

    type: Literal["text_delta"]
    text: str


class InputDelta(TypedDict):
    """The next part of a call's input, which is JSON when it is complete."""

    type: Literal["input_json_delta"]
    partial_json: str


class ContentBlockDelta(TypedDict):
    """The block goes on."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextDelta | InputDelta


class ContentBlockStop(TypedDict):
    """The block is complete."""

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
    """Writes one generation: its blocks one after the other, each opened by the first of its content."""

    def __init__(self) -> None:
        self._begun = False
        self._num_blocks = 0
        self._open: Literal["text", "tool_use"] | None = None
        self._last = GenerationChunk("")

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """What is new, after the events that open a message before the first of it."""
        opening = b"" if self._begun else _opening(pieces[0])
        self._begun, self._last = True, pieces[-1].chunk
        return opening + b"".join(self._chunk(piece.chunk) for piece in pieces)

    def end(self) -> bytes:
        """The end of the last block and of the message. One without content has an empty text."""
        nothing = b"" if self._num_blocks else self._begin(Text(type="text", text=""))
        end = MessageEnd(stop_reason=stop_reason(self._last), stop_sequence=self._last.stop_string)
        return (
            nothing
            + self._close()
            + _write(MessageDelta(type="message_delta", delta=end, usage=usage(self._last)))
            + _write(MessageStop(type="message_stop"))
        )

    def error(self, problem: Problem) -> bytes:
        """The event after which nothing follows."""
        return _write(error_body(problem))

    def _chunk(self, chunk: GenerationChunk) -> bytes:
        text = self._text(chunk.text) if chunk.text else b""
        return text + b"".join(map(self._call, chunk.tool_calls))

    def _text(self, text: str) -> bytes:
        begin = b"" if self._open == "text" else self._begin(Text(type="text", text=""))
        return begin + self._delta(TextDelta(type="text_delta", text=text))

    def _call(self, call: ToolCallPiece) -> bytes:
        begin = b"" if call.name is None else self._begin(begun_call(call))
        arguments = call.arguments
        more = self._delta(InputDelta(type="input_json_delta", partial_json=arguments)) if arguments else b""
        return begin + more

    def _begin(self, block: Text | ToolUse) -> bytes:
        end = self._close()
        self._open = block["type"]
        self._num_blocks += 1
        return end + _write(
            ContentBlockStart(type="content_block_start", index=self._num_blocks - 1, content_block=block)
        )

    def _delta(self, delta: TextDelta | InputDelta) -> bytes:
        return _write(ContentBlockDelta(type="content_block_delta", index=self._num_blocks - 1, delta=delta))

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _write(ContentBlockStop(type="content_block_stop", index=self._num_blocks - 1))


def _opening(first: Piece) -> bytes:
    message = begun_message(first.version, first.chunk.num_prompt_tokens)
    return _write(MessageStart(type="message_start", message=message)) + _write(Ping(type="ping"))


def _write(data: Event) -> bytes:
    return event(data, data["type"])
