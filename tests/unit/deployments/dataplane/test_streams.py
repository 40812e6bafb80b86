"""A stream's tokens are counted wherever it is cut, and closing it gives back what it holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.dataplane.call import Tally
from deployments.dataplane.quotas import Spending
from deployments.dataplane.streams import GenerationStream, count
from deployments.dataplane.transcript import Transcript
from models.errors import EngineError
from models.tools import ToolCallPiece
from models.types import FinishReason, GenerationChunk, Usage, VersionId

M1 = VersionId("m", "1")
FIRST = GenerationChunk("one", num_tokens=2, num_prompt_tokens=7)
MORE = GenerationChunk(" two", num_tokens=1)
LAST = GenerationChunk("", FinishReason.LENGTH, Usage(7, 4))


async def chunks(*given: GenerationChunk | Exception) -> AsyncGenerator[GenerationChunk]:
    for each in given:
        if isinstance(each, Exception):
            raise each
        yield each


class Opened:
    """A stream whose first chunk has come and is counted, and what became of what it holds."""

    def __init__(self, *rest: GenerationChunk | Exception) -> None:
        self.tally = Tally()
        self.num_released = 0
        self.transcript = Transcript()
        held = AsyncExitStack()
        held.callback(self._release)
        spending = Spending(self.tally)
        count(FIRST, spending)
        self.stream = GenerationStream(M1, chunks(*rest), FIRST, spending, held, self.transcript)

    def _release(self) -> None:
        self.num_released += 1

    @property
    def counted(self) -> tuple[int, int]:
        return self.tally.input_tokens, self.tally.output_tokens


async def test_a_whole_stream_has_the_final_count_and_a_whole_transcript() -> None:
    opened = Opened(MORE, LAST)
    assert [chunk async for chunk in opened.stream] == [FIRST, MORE, LAST]
    assert (opened.counted, opened.num_released) == ((7, 4), 0)
    await opened.stream.aclose()
    assert (opened.num_released, opened.transcript.text, opened.transcript.complete) == (1, "one two", True)


async def test_calls_are_kept_too() -> None:
    parts = (ToolCallPiece(0, "", "depth"), ToolCallPiece(0, '{"at": '), ToolCallPiece(0, '"sea"}'))
    opened = Opened(*(GenerationChunk("", tool_calls=(part,)) for part in parts), LAST)
    together = Opened(GenerationChunk("", tool_calls=parts), LAST)
    silent = Opened(LAST)
    for each in (opened, together, silent):
        assert [chunk async for chunk in each.stream][-1] == LAST
    assert opened.transcript.text == 'one\ndepth {"at": "sea"}'
    assert opened.transcript.agrees(together.transcript)
    assert not opened.transcript.agrees(silent.transcript)


@pytest.mark.parametrize(("num_read", "counted"), [(0, (7, 2)), (1, (7, 2)), (2, (7, 3))])
async def test_a_stream_that_is_left_has_what_came_so_far(num_read: int, counted: tuple[int, int]) -> None:
    opened = Opened(MORE, LAST)
    reading = aiter(opened.stream)
    for _ in range(num_read):
        await anext(reading)
    await opened.stream.aclose()
    assert (opened.counted, opened.num_released, opened.transcript.complete) == (counted, 1, False)


async def test_a_stream_that_breaks_has_what_came_so_far() -> None:
    opened = Opened(MORE, EngineError("it broke"))
    with pytest.raises(EngineError, match="it broke"):
        async for _ in opened.stream:
            pass
    await opened.stream.aclose()
    assert (opened.counted, opened.num_released, opened.transcript.complete) == ((7, 3), 1, False)


async def test_closing_gives_all_back_even_when_the_replica_does_not_let_go() -> None:
    async def stubborn() -> AsyncGenerator[GenerationChunk]:
        try:
            yield MORE
        finally:
            raise EngineError("it will not end")

    opened = Opened()
    rest = stubborn()
    await anext(rest)
    held = AsyncExitStack()
    held.callback(opened._release)
    with pytest.raises(EngineError, match="will not end"):
        await GenerationStream(M1, rest, held=held).aclose()
    assert opened.num_released == 1


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 100), st.booleans())
def test_the_tally_is_always_the_sum_of_what_replicas_counted(tokens: list[int], prompt: int, ends: bool) -> None:
    tally = Tally(input_tokens=5, output_tokens=6)  # of another request of the same call
    spending = Spending(tally)
    for place, number in enumerate(tokens):
        count(GenerationChunk("", num_tokens=number, num_prompt_tokens=0 if place else prompt), spending)
    if ends:
        count(GenerationChunk("", FinishReason.STOP, Usage(prompt, sum(tokens) + 1)), spending)
        assert spending.usage == Usage(prompt, sum(tokens) + 1)
    assert (tally.input_tokens, tally.output_tokens) == (5 + spending.input_tokens, 6 + spending.output_tokens)
    assert spending.answered == bool(tokens or ends)
