"""Calls as a model writes them: kept to their form, and read while they arrive."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from transformers.generation.continuous_batching.requests import RequestState

from models.engines.grammar import GrammarCompiler
from models.engines.tool_calls import ToolCallReader, tool_grammar, written
from models.tools import ToolCall, ToolCallPiece, ToolFunction, Tools
from tests.unit.models.engines import tokenizers_for_tests

DEPTH = ToolFunction(
    "depth",
    json.dumps({"type": "object", "properties": {"at": {"type": "string"}}, "additionalProperties": False}),
)
ADD = ToolFunction(
    "add_up", json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
)
AT_SEA = written(ToolCall("1", "depth", '{"at": "sea"}'))
ONE = written(ToolCall("2", "add_up", '{"a": 1}'))


def with_markers() -> Tokenizer:
    """As Qwen 2.5 and 3 have them: one token each, and shown."""
    tokenizer = tokenizers_for_tests.byte_level()
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<tool_call>", "</tool_call>")])
    return tokenizer


@pytest.fixture(params=[tokenizers_for_tests.byte_level, with_markers], scope="module")
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    built: Tokenizer = request.param()
    return built


def accepts(tokenizer: Tokenizer, tools: Tools, text: str) -> bool:
    """Whether the grammar allows each token of the text, and then the end."""
    eos_id = tokenizers_for_tests.id_of(tokenizer)
    compiler = GrammarCompiler(tokenizer, tokenizer.get_vocab_size(), frozenset({eos_id}))
    constraint, state = compiler.constrain(tool_grammar(tools, tokenizer), 0), RequestState("r", [])
    for token in [*tokenizer.encode(text).ids, eos_id]:
        mask = constraint.allowed(state)
        if not mask[token // 8] >> token % 8 & 1:
            return False
        state.generated_tokens.append(token)
    return True


@pytest.mark.parametrize("text", ["", "No.", "It is 5 < 6 deep.", AT_SEA, f"Let me see.\n{ONE}"])
def test_a_model_may_say_something_or_call(tokenizer: Tokenizer, text: str) -> None:
    assert accepts(tokenizer, Tools((DEPTH, ADD), parallel=False), text)


@pytest.mark.parametrize(
    "text",
    [
        written(ToolCall("1", "unknown", "{}")),
        written(ToolCall("1", "add_up", '{"a": "1"}')),
        written(ToolCall("1", "add_up", "{}")),
        written(ToolCall("1", "depth", '{"at": "sea", "more": 1}')),
        "<tool_call>",
        "<tool_call> or so",
        AT_SEA + "And so on.",
        AT_SEA[:-3],
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_a_call_is_whole_and_of_a_known_function(tokenizer: Tokenizer, text: str, required: bool) -> None:
    assert not accepts(tokenizer, Tools((DEPTH, ADD), required=required), text)


def test_calls_are_required(tokenizer: Tokenizer) -> None:
    required = Tools((DEPTH, ADD), required=True)
    assert accepts(tokenizer, required, ONE)
    assert not accepts(tokenizer, required, "")
    assert not accepts(tokenizer, required, f"Well.{ONE}")


@pytest.mark.parametrize("required", [False, True])
def test_several_calls_are_made_only_in_parallel(tokenizer: Tokenizer, required: bool) -> None:
    several = f"{AT_SEA}\n{ONE}\n{AT_SEA}"
    assert accepts(tokenizer, Tools((DEPTH, ADD), required=required), several)
    assert not accepts(tokenizer, Tools((DEPTH, ADD), required=required, parallel=False), several)


def read(pieces: Sequence[str]) -> tuple[str, list[tuple[str, str]], int]:
    """What was said, the calls with their arguments, and how many of them are complete."""
    reader = ToolCallReader()
    said, parts = "", list[ToolCallPiece]()
    for piece in pieces:
        text, calls = reader.push(piece)
        said += text
        parts.extend(calls)
    said += reader.flush()
    whole = [
        (str(first.name), "".join(part.arguments for part in parts if part.index == first.index))
        for first in parts
        if first.name is not None
    ]
    assert [part.index for part in parts] == sorted(part.index for part in parts)
    return said, whole, reader.num_calls


SAID = st.text(alphabet="<tool_ca>{\n", max_size=20)
VALUES = st.recursive(st.text(alphabet='}\n{"</tool_call>', max_size=12) | st.integers(), st.lists, max_leaves=4)
CALLS = st.lists(
    st.tuples(st.sampled_from(["depth", "add_up"]), VALUES.map(lambda value: {"a": value})), max_size=3
)


@given(said=SAID, calls=CALLS, data=st.data())
def test_texts_are_read_however_they_are_divided(
    said: str, calls: list[tuple[str, object]], data: st.DataObject
) -> None:
    made = [(name, json.dumps(arguments)) for name, arguments in calls]
    text = said + "\n".join(written(ToolCall("", *call)) for call in made)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(pieces) == (said, made, len(made))


def test_arguments_arrive_before_their_call_is_complete() -> None:
    reader = ToolCallReader()
    assert reader.push('Well. <tool_call>\n{"name": "de') == ("Well. ", ())
    assert reader.push('pth", "arguments": {"at"') == (
        "",
        (ToolCallPiece(0, "", "depth"), ToolCallPiece(0, '{"at"')),
    )
    assert reader.push(': "sea"}') == ("", (ToolCallPiece(0, ': "sea"'),))
    assert reader.push("}\n</tool_call>") == ("", (ToolCallPiece(0, "}"),))
    assert reader.num_calls == 1


@pytest.mark.parametrize("length", range(len(AT_SEA)))
def test_a_text_that_ends_early_keeps_what_it_has(length: int) -> None:
    said, calls, num_calls = read([AT_SEA[:length]])
    assert num_calls == 0
    assert AT_SEA.startswith(said)
    assert all(name == "depth" and '{"at": "sea"}'.startswith(arguments) for name, arguments in calls)
