"""A response as OpenAI's stream of named and numbered events."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Literal

from typing_extensions import TypedDict

from deployments.api.http.errors import Problem
from deployments.api.http.event import event
from deployments.api.http.generation import Piece
from deployments.api.openai.responses_reply import (
    Draft,
    OutputMessage,
    OutputText,
    ResponseReply,
    ended_status,
    output_text,
)
from models.types import GenerationChunk

State = Literal[
    "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
]


class ResponseEvent(TypedDict):
    """The state of the whole response, at its beginning and at its end."""

    type: State
    sequence_number: int
    response: ResponseReply


class ItemEvent(TypedDict):
    """The message begins or ends."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: OutputMessage


class PartEvent(TypedDict):
    """The text of the message begins or ends."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    part: OutputText


class DeltaEvent(TypedDict):
    """New text."""

    type: Literal["response.output_text.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[str]


class TextEvent(TypedDict):
    """The whole text."""

    type: Literal["response.output_text.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[str]


Event = ResponseEvent | ItemEvent | PartEvent | DeltaEvent | TextEvent


class ResponseEncoder:
    """Writes one generation: one message with one text."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._numbers = count()
        self._texts: list[str] = []
        self._begun = False
        self._last = GenerationChunk("")

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """What is new, after the events that open a response before the first of it."""
        opening = b"" if self._begun else self._opening(pieces[0])
        self._begun, self._last = True, pieces[-1].chunk
        return opening + b"".join(self._delta(piece.chunk.text) for piece in pieces if piece.chunk.text)

    def end(self) -> bytes:
        """The end of the text, of the message and of the response."""
        text, status = "".join(self._texts), ended_status(self._last)
        state: State = "response.completed" if status == "completed" else "response.incomplete"
        message = self._draft.message(status, [output_text(text)])
        return (
            self._text(text)
            + self._part("response.content_part.done", text)
            + self._item("response.output_item.done", message)
            + self._response(state, self._draft.ended(text, self._last))
        )

    def error(self, problem: Problem) -> bytes:
        """The event after which nothing follows; it has what was written before."""
        return self._response("response.failed", self._draft.failed("".join(self._texts), problem))

    def _opening(self, first: Piece) -> bytes:
        self._draft = self._draft.of(first.version)
        return (
            self._response("response.created", self._draft.begun())
            + self._response("response.in_progress", self._draft.begun())
            + self._item("response.output_item.added", self._draft.message("in_progress", []))
            + self._part("response.content_part.added", "")
        )

    def _response(self, state: State, response: ResponseReply) -> bytes:
        return _write(ResponseEvent(type=state, sequence_number=next(self._numbers), response=response))

    def _item(
        self, kind: Literal["response.output_item.added", "response.output_item.done"], item: OutputMessage
    ) -> bytes:
        return _write(ItemEvent(type=kind, sequence_number=next(self._numbers), output_index=0, item=item))

    def _part(
        self, kind: Literal["response.content_part.added", "response.content_part.done"], text: str
    ) -> bytes:
        return _write(
            PartEvent(
                type=kind,
                sequence_number=next(self._numbers),
                item_id=self._draft.item_id,
                output_index=0,
                content_index=0,
                part=output_text(text),
            )
        )

    def _delta(self, text: str) -> bytes:
        self._texts.append(text)
        return _write(
            DeltaEvent(
                type="response.output_text.delta",
                sequence_number=next(self._numbers),
                item_id=self._draft.item_id,
                output_index=0,
                content_index=0,
                delta=text,
                logprobs=[],
            )
        )

    def _text(self, text: str) -> bytes:
        return _write(
            TextEvent(
                type="response.output_text.done",
                sequence_number=next(self._numbers),
                item_id=self._draft.item_id,
                output_index=0,
                content_index=0,
                text=text,
                logprobs=[],
            )
        )


def _write(data: Event) -> bytes:
    return event(data, data["type"])
