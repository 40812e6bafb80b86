"""The tokens of one generation to the chunks that its caller gets."""

from __future__ import annotations

from tokenizers import Tokenizer

from models.engines.detokenize import IncrementalDetokenizer
from models.engines.stop import StopMatcher
from models.engines.tool_calls import ToolCallReader
from models.tools import ToolCallPiece
from models.types import Conversation, FinishReason, GenerationChunk, GenerationRequest, Usage


class ChunkWriter:
    """Turns a growing list of token ids into chunks, and finds the reason to stop.

    InvalidRequestError for an empty stop string.
    """

    def __init__(
        self, tokenizer: Tokenizer, eos_ids: frozenset[int], request: GenerationRequest, num_prompt_tokens: int
    ) -> None:
        self._detokenizer = IncrementalDetokenizer(tokenizer)
        self._stops = StopMatcher(request.sampling.stop)
        has_tools = isinstance(request.prompt, Conversation) and request.prompt.tools is not None
        self._calls = ToolCallReader() if has_tools else None
        self._eos_ids = eos_ids
        self._num_prompt_tokens = num_prompt_tokens
        self._num_seen = 0
        self._num_told: int | None = None  # before the first chunk

    def advance(self, token_ids: list[int], ended: bool) -> GenerationChunk | None:
        """What is certain with ``token_ids`` (all so far) and was not told; None when that is nothing yet.

        The chunk with a reason is the last one.
        """
        fresh = token_ids[self._num_seen :]
        self._num_seen = len(token_ids)
        at_eos = bool(fresh) and fresh[-1] in self._eos_ids
        text = self._detokenizer.push(fresh[:-1] if at_eos else fresh)
        said, calls = self._divide(text + self._detokenizer.flush() if ended else text, ended)
        said, hit = self._stops.push(said)
        if hit:  # nothing is said after a call: those that are here came after the stop string
            return self._last(said, FinishReason.STOP, ())
        if calls or ended:
            said += self._stops.flush()
        if ended:
            return self._last(said, self._reason(at_eos), calls)
        return self._next(said, None, None, calls) if said or calls else None

    def _reason(self, at_eos: bool) -> FinishReason:
        if not at_eos:
            return FinishReason.LENGTH
        return FinishReason.TOOL_CALLS if self._calls is not None and self._calls.num_calls else FinishReason.STOP

    def _last(self, text: str, reason: FinishReason, calls: tuple[ToolCallPiece, ...]) -> GenerationChunk:
        return self._next(text, reason, Usage(self._num_prompt_tokens, self._num_seen), calls)

    def _divide(self, text: str, ended: bool) -> tuple[str, tuple[ToolCallPiece, ...]]:
        """What is said, in which stop strings are looked for, and what is called, in which they are not."""
        if self._calls is None:
            return text, ()
        said, calls = self._calls.push(text)
        return said + (self._calls.flush() if ended else ""), calls

    def _next(
        self, text: str, reason: FinishReason | None, usage: Usage | None, calls: tuple[ToolCallPiece, ...]
    ) -> GenerationChunk:
        first, told = self._num_told is None, self._num_told or 0
        self._num_told = self._num_seen
        return GenerationChunk(
            text=text,
            finish_reason=reason,
            usage=usage,
            num_tokens=self._num_seen - told,
            num_prompt_tokens=self._num_prompt_tokens if first else 0,
            tool_calls=calls,
            stop_string=self._stops.matched,
        )
