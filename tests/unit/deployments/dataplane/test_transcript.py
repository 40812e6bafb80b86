"""Whether two versions gave the same answer."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.dataplane.transcript import Transcript


def text(*pieces: str) -> Transcript:
    return Transcript(list(pieces), complete=True)


def arrays(*values: object, dtype: str = "float32") -> Transcript:
    return Transcript(arrays=tuple(np.array(each, dtype) for each in values), complete=True)


def test_texts_are_compared_whole_however_they_came() -> None:
    assert text("one ", "two").agrees(text("one two"))
    assert not text("one two").agrees(text("one"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (arrays([1.0005, -2.0]), True),
        (arrays([1.01, -2.0]), False),
        (arrays([[1.0, -2.0]]), False),
        (arrays([1.0, -2.0], [3.0]), False),
        (arrays(), False),
    ],
    ids=["rounded", "different", "another shape", "one more", "none"],
)
def test_numbers_agree_to_a_thousandth(other: Transcript, same: bool) -> None:
    assert arrays([1.0, -2.0]).agrees(other) is same


def test_what_is_no_number_in_both_agrees() -> None:
    assert arrays([np.nan, 1.0]).agrees(arrays([np.nan, 1.0]))
    assert not arrays([np.nan, 1.0]).agrees(arrays([0.0, 1.0]))


@pytest.mark.parametrize("dtype", ["int64", "bool", "object"])
def test_what_is_not_measured_is_exact(dtype: str) -> None:
    assert arrays([1, 0], dtype=dtype).agrees(arrays([1, 0], dtype=dtype))
    assert not arrays([1, 0], dtype=dtype).agrees(arrays([1, 1], dtype=dtype))
