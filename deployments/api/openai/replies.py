"""What OpenAI's clients get back: the parts that chat and completions share, whole and streamed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NotRequired, TypeVar

from typing_extensions import TypedDict

from deployments.api.http.errors import Problem
from deployments.api.http.event import event
from deployments.api.http.generation import Generated, Piece
from deployments.api.openai.errors import error_body
from models.types import GenerationChunk

STREAM_END = "[DONE]"

Choice = TypeVar("Choice")


class UsageBody(TypedDict):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Reply(TypedDict, Generic[Choice]):
    """A response, or one chunk of a stream. ``usage`` is absent from streams that did not ask for it."""

    id: str
    object: str
    created: int
    model: str
    choices: Sequence[Choice]
    usage: NotRequired[UsageBody | None]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all parts of one reply have in common."""

    id: str
    kind: str
    created: int

    @classmethod
    def new(cls, prefix: str, kind: str) -> Frame:
        """A reply with a new id that begins now."""
        return cls(f"{prefix}-{uuid.uuid4().hex}", kind, int(time.time()))

    def reply(self, model: str, choices: Sequence[Choice]) -> Reply[Choice]:
        """A reply with these choices."""
        return Reply(id=self.id, object=self.kind, created=self.created, model=model, choices=choices)


def whole_reply(frame: Frame, results: Sequence[Generated], choices: Sequence[Choice]) -> Reply[Choice]:
    """The response to a call that does not stream."""
    reply = frame.reply(str(results[0].version), choices)
    reply["usage"] = usage_body(result.last for result in results)
    return reply


def usage_body(chunks: Iterable[GenerationChunk]) -> UsageBody:
    """The sum over the chunks that have counts: the last one of each choice."""
    counted = [chunk.usage for chunk in chunks if chunk.usage is not None]
    return UsageBody(
        prompt_tokens=sum(usage.prompt_tokens for usage in counted),
        completion_tokens=sum(usage.completion_tokens for usage in counted),
        total_tokens=sum(usage.total_tokens for usage in counted),
    )


class ChunkEncoder(Generic[Choice]):
    """Writes a generation as OpenAI's stream of chunks.

    ``choice_of`` makes the choice of one chunk; its second argument says whether it is the choice's first.
    """

    def __init__(self, frame: Frame, include_usage: bool, choice_of: Callable[[Piece, bool], Choice]) -> None:
        self._frame = frame
        self._include_usage = include_usage
        self._choice_of = choice_of
        self._begun: set[int] = set()
        self._counted: list[GenerationChunk] = []
        self._model = ""

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """One event for each piece."""
        return b"".join(self._chunk(piece) for piece in pieces)

    def end(self) -> bytes:
        """The usage if it was asked for, and the mark that nothing follows."""
        return self._usage_chunk() + f"data: {STREAM_END}\n\n".encode()

    def error(self, problem: Problem) -> bytes:
        """The error as an event; without the closing mark, so that no client takes the text for complete."""
        return event(error_body(problem))

    def _chunk(self, piece: Piece) -> bytes:
        first = piece.index not in self._begun
        self._begun.add(piece.index)
        self._model = str(piece.version)
        if piece.chunk.usage is not None:
            self._counted.append(piece.chunk)
        reply = self._frame.reply(self._model, [self._choice_of(piece, first)])
        if self._include_usage:
            reply["usage"] = None
        return event(reply)

    def _usage_chunk(self) -> bytes:
        if not self._include_usage:
            return b""
        no_choices: list[Choice] = []
        reply = self._frame.reply(self._model, no_choices)
        reply["usage"] = usage_body(self._counted)
        return event(reply)
