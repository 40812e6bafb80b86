"""Chunks of one generation: the text, the calls and the counts, however the tokens arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.engines.chunks import ChunkWriter
from models.engines.tool_calls import written
from models.tools import ToolCall, ToolFunction, Tools
from models.types import (
    ChatMessage,
    Conversation,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    SamplingParams,
    Usage,
)
from tests.unit.models.engines import tokenizers_for_tests

TOKENIZER = tokenizers_for_tests.byte_level()
EOS_ID = tokenizers_for_tests.id_of(TOKENIZER)
NUM_PROMPT_TOKENS = 7
TOOLS = Tools((ToolFunction("depth", "{}"),))
CALL = written(ToolCall("", "depth", '{"at": "sea"}'))


def chunks_of(
    ids: list[int], cuts: list[int], *, tools: Tools | None = None, stop: str = ""
) -> list[GenerationChunk]:
    """As the engine asks for them: with all tokens so far, each time."""
    prompt = Conversation((ChatMessage("user", "x"),), tools)
    sampling = SamplingParams(stop=(stop,) if stop else ())
    writer = ChunkWriter(
        TOKENIZER, frozenset({EOS_ID}), GenerationRequest("r", prompt, sampling), NUM_PROMPT_TOKENS
    )
    chunks: list[GenerationChunk] = []
    for end in [*cuts, len(ids)]:
        chunk = writer.advance(ids[:end], ended=end == len(ids))
        if chunk is not None:
            chunks.append(chunk)
            if chunk.finish_reason is not None:
                return chunks
    raise AssertionError("the last chunk has a reason")


@given(
    text=st.text(alphabet="ab你😀.", max_size=20),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    ends=st.booleans(),
)
def test_counts_add_up_to_the_usage(text: str, cuts: list[int], ends: bool) -> None:
    ids = [*TOKENIZER.encode(text).ids, *([EOS_ID] if ends else [])]
    chunks = chunks_of(ids, sorted(cut for cut in cuts if cut < len(ids)))
    assert "".join(chunk.text for chunk in chunks) == text
    assert sum(chunk.num_tokens for chunk in chunks) == len(ids)
    assert [chunk.num_prompt_tokens for chunk in chunks] == [NUM_PROMPT_TOKENS, *[0] * (len(chunks) - 1)]
    assert chunks[-1].usage == Usage(NUM_PROMPT_TOKENS, len(ids))
    assert chunks[-1].finish_reason is (FinishReason.STOP if ends else FinishReason.LENGTH)


def test_tokens_whose_text_is_held_back_count_with_the_next_chunk() -> None:
    ids = TOKENIZER.encode("a😀").ids
    first, last = chunks_of(ids, list(range(1, len(ids))))
    assert (first.text, first.num_tokens) == ("a", 1)
    assert (last.text, last.num_tokens) == ("😀", len(ids) - 1)


def test_a_generation_with_calls_ends_for_them() -> None:
    ids = [*TOKENIZER.encode(f"Well. {CALL}").ids, EOS_ID]
    chunks = chunks_of(ids, list(range(1, len(ids))), tools=TOOLS)
    assert "".join(chunk.text for chunk in chunks) == "Well. "
    assert "".join(part.arguments for chunk in chunks for part in chunk.tool_calls) == '{"at": "sea"}'
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS
    assert all(chunk.text or chunk.tool_calls for chunk in chunks[:-1])


def test_a_call_that_is_cut_off_ends_for_its_length() -> None:
    ids = TOKENIZER.encode(CALL).ids[:-3]
    assert chunks_of(ids, [], tools=TOOLS)[-1].finish_reason is FinishReason.LENGTH


def test_what_may_have_begun_a_call_is_said_after_all() -> None:
    ids = [*TOKENIZER.encode("5 <").ids, EOS_ID]
    (only,) = chunks_of(ids, [], tools=TOOLS)
    assert (only.text, only.finish_reason) == ("5 <", FinishReason.STOP)


def test_without_tools_a_call_is_text() -> None:
    (only,) = chunks_of([*TOKENIZER.encode(CALL).ids, EOS_ID], [])
    assert (only.text, only.tool_calls, only.finish_reason) == (CALL, (), FinishReason.STOP)


def test_a_stop_string_is_looked_for_in_what_is_said_alone() -> None:
    ids = [*TOKENIZER.encode(f"Well. {CALL}").ids, EOS_ID]
    for cuts in ([], list(range(1, len(ids)))):
        for stop in ("\n", "sea", "_call", " <tool"):
            chunks = chunks_of(ids, cuts, tools=TOOLS, stop=stop)
            assert "".join(chunk.text for chunk in chunks) == "Well. "
            assert "".join(part.arguments for chunk in chunks for part in chunk.tool_calls) == '{"at": "sea"}'
            assert (chunks[-1].finish_reason, chunks[-1].stop_string) == (FinishReason.TOOL_CALLS, None)
            assert chunks[-1].usage == Usage(NUM_PROMPT_TOKENS, len(ids))


def test_what_may_have_begun_a_stop_string_is_said_before_a_call() -> None:
    ids = [*TOKENIZER.encode(f"Well. {CALL}").ids, EOS_ID]
    chunks = chunks_of(ids, list(range(1, len(ids))), tools=TOOLS, stop=". And")
    first_call = next(index for index, chunk in enumerate(chunks) if chunk.tool_calls)
    assert "".join(chunk.text for chunk in chunks[: first_call + 1]) == "Well. "


def test_after_a_stop_string_nothing_is_called() -> None:
    ids = [*TOKENIZER.encode(f"Well. {CALL}").ids, EOS_ID]
    (only,) = chunks_of(ids, [], tools=TOOLS, stop=".")
    assert (only.text, only.tool_calls) == ("Well", ())
    assert (only.finish_reason, only.stop_string) == (FinishReason.STOP, ".")
    assert only.usage == Usage(NUM_PROMPT_TOKENS, len(ids))


def test_a_stop_string_is_found_in_what_may_have_begun_a_call() -> None:
    ids = [*TOKENIZER.encode("5 <").ids, EOS_ID]
    (only,) = chunks_of(ids, [], tools=TOOLS, stop="<")
    assert (only.text, only.stop_string, only.finish_reason) == ("5 ", "<", FinishReason.STOP)


def test_a_stop_string_is_named() -> None:
    ids = TOKENIZER.encode("one, two").ids
    (only,) = chunks_of(ids, [], stop=",")
    assert (only.text, only.stop_string, only.finish_reason) == ("one", ",", FinishReason.STOP)
