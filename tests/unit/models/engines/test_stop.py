"""Stop strings are found wherever the text is cut, and nothing of them is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engines.stop import StopMatcher
from models.errors import InvalidRequestError

LETTERS = st.text("ab", max_size=30)
STOPS = st.lists(st.text("ab", min_size=1, max_size=5), max_size=3)


def cut_offline(text: str, stops: list[str]) -> tuple[str, bool]:
    """Grow the text by one character at a time until it ends with a stop string."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - len(max(found, key=len))], True
    return text, False


@settings(max_examples=500)
@given(chunks=st.lists(st.text("ab", max_size=3), min_size=1, max_size=12), stops=STOPS)
def test_equals_the_offline_cut_under_any_chunking(chunks: list[str], stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    results = [matcher.push(chunk) for chunk in chunks]
    emitted = "".join(piece for piece, _ in results) + matcher.flush()
    assert (emitted, results[-1][1]) == cut_offline("".join(chunks), stops)


@given(text=LETTERS, stops=STOPS)
def test_holds_back_no_more_than_could_begin_a_stop_string(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    emitted, hit = matcher.push(text)
    held = text[len(emitted) :]
    assert hit or not held or any(stop.startswith(held) for stop in stops)


def test_a_false_start_is_given_back() -> None:
    matcher = StopMatcher(["</end>"])
    assert matcher.push("x </e") == ("x ", False)
    assert matcher.push("m>") == ("</em>", False)


def test_nothing_is_emitted_after_a_hit() -> None:
    matcher = StopMatcher(["\n"])
    assert matcher.push("one\ntwo") == ("one", True)
    assert matcher.push("three") == ("", True)
    assert matcher.flush() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="empty") as refused:
        StopMatcher(["a", ""])
    assert refused.value.param == "stop"


def test_what_was_found_is_told() -> None:
    matcher = StopMatcher(["b", "ab", "x"])
    assert (matcher.push("..a"), matcher.matched) == (("..", False), None)
    assert (matcher.push("b"), matcher.matched) == (("", True), "ab")
