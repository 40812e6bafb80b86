from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ratios import ratio_of

SPEEDS = st.floats(min_value=1e-3, max_value=1e3)
ROUNDS = st.lists(st.tuples(SPEEDS, SPEEDS), min_size=1, max_size=9)


def test_the_median_and_the_extremes_of_the_rounds_are_given() -> None:
    ratio = ratio_of([2.0, 9.0, 8.0], [4.0, 3.0, 8.0])
    assert (ratio.median, ratio.low, ratio.high, ratio.num_rounds) == (1.0, 0.5, 3.0, 3)
    assert str(ratio) == "1.00 (0.50-3.00)"


@given(ROUNDS, st.floats(min_value=0.1, max_value=10))
def test_a_machine_that_changes_its_speed_between_rounds_changes_nothing(
    rounds: list[tuple[float, float]], speed: float
) -> None:
    ours, theirs = zip(*rounds, strict=True)
    slower_first_round = ratio_of([ours[0] * speed, *ours[1:]], [theirs[0] * speed, *theirs[1:]])
    assert slower_first_round.median == pytest.approx(ratio_of(ours, theirs).median)


@given(ROUNDS)
def test_swapping_the_sides_inverts_the_extremes(rounds: list[tuple[float, float]]) -> None:
    ours, theirs = zip(*rounds, strict=True)
    assert ratio_of(ours, theirs).low == pytest.approx(1 / ratio_of(theirs, ours).high)


def test_series_of_different_rounds_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio_of([1.0, 2.0], [1.0])
