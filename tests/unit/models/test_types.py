"""Names and versions: what is accepted, how they are written and read back."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tools import ToolCallPiece
from models.types import (
    NAME_PATTERN,
    VERSION_PATTERN,
    ChatMessage,
    Conversation,
    EmbeddingRequest,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Grammar,
    GrammarKind,
    InferRequest,
    SamplingParams,
    Sent,
    Tensor,
    Usage,
    VersionId,
)

IDS = st.builds(
    VersionId,
    st.from_regex(re.compile(NAME_PATTERN, re.ASCII), fullmatch=True),
    st.from_regex(re.compile(VERSION_PATTERN, re.ASCII), fullmatch=True),
)


@given(IDS)
def test_an_id_survives_being_written_and_read(version: VersionId) -> None:
    assert VersionId.parse(str(version)) == version


@given(st.text().filter(lambda name: not re.fullmatch("[A-Za-z0-9._-]*", name)))
def test_a_name_with_any_other_character_is_refused(name: str) -> None:
    """An id becomes the name of a folder and of an application."""
    with pytest.raises(ValueError, match="is not valid"):
        VersionId(name, "1")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("", "1"),
        ("m", ""),
        ("..", "1"),
        ("a/b", "1"),
        ("a@b", "1"),
        ("m\n", "1"),
        ("m", "1\n"),
        (".m", "1"),
        ("m-", "1"),
        ("m" * 97, "1"),
        ("m", "1" * 33),
        ("modèle", "1"),
    ],
)
def test_unsafe_parts_are_refused(name: str, version: str) -> None:
    with pytest.raises(ValueError, match="is not valid: use letters"):
        VersionId(name, version)


def test_the_longest_parts_are_accepted() -> None:
    assert str(VersionId("m" * 96, "1" * 32)) == f"{'m' * 96}@{'1' * 32}"


def test_a_name_alone_is_no_id() -> None:
    with pytest.raises(ValueError, match="'smollm2' names no version: write name@version"):
        VersionId.parse("smollm2")


def test_a_second_at_sign_is_refused() -> None:
    with pytest.raises(ValueError, match="version '1@2' is not valid"):
        VersionId.parse("m@1@2")


def test_total_tokens_are_prompt_and_completion() -> None:
    assert Usage(7, 5).total_tokens == 12
    assert Usage(7).total_tokens == 7


CHAT = Conversation((ChatMessage("user", "hello"), ChatMessage("tool", "42", tool_call_id="c")))
CALL = ToolCallPiece(0, arguments="{}", name="f")


@pytest.mark.parametrize(
    "sent",
    [
        GenerationRequest("r", CHAT, SamplingParams(stop=("x",)), Grammar(GrammarKind.REGEX, "a", "g")),
        GenerationChunk("a", FinishReason.STOP, Usage(3, 4), 1, 3, (CALL,), "x"),
        EmbeddingRequest(("a", (1, 2))),
        InferRequest((), ("y",)),
    ],
)
def test_requests_and_answers_arrive_as_they_were_sent(sent: Sent) -> None:
    assert pickle.loads(pickle.dumps(sent, pickle.HIGHEST_PROTOCOL)) == sent  # noqa: S301  our own bytes


def test_tensors_arrive_as_they_were_sent() -> None:
    sent = Tensor("x", "FP32", np.arange(6, dtype=np.float32).reshape(2, 3))
    arrived = pickle.loads(pickle.dumps(sent, pickle.HIGHEST_PROTOCOL))  # noqa: S301  our own bytes
    assert (arrived.name, arrived.datatype) == ("x", "FP32")
    np.testing.assert_array_equal(arrived.data, sent.data)
