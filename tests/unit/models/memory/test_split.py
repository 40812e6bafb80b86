from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.memory.split import split_units

UNITS = st.lists(st.integers(0, 50), min_size=1, max_size=9)
ENDS = st.integers(0, 80)


def largest(units: list[int], stops: list[int], first: int, last: int) -> int:
    stages = [sum(units[start:stop]) for start, stop in pairwise([0, *stops])]
    stages[0] += first
    stages[-1] += last
    return max(stages)


@given(units=UNITS, stages=st.integers(1, 9), first=ENDS, last=ENDS)
def test_no_other_split_has_a_smaller_largest_stage(units: list[int], stages: int, first: int, last: int) -> None:
    stages = min(stages, len(units))
    stops = split_units(units, stages, first, last)
    assert len(stops) == stages
    assert stops[-1] == len(units)
    assert all(start < stop for start, stop in pairwise([0, *stops]))
    every = [[*cuts, len(units)] for cuts in combinations(range(1, len(units)), stages - 1)]
    assert largest(units, stops, first, last) == min(largest(units, each, first, last) for each in every)


def test_equal_layers_are_divided_equally_and_the_last_stage_has_what_is_over() -> None:
    assert split_units([1] * 30, 4, 0, 0) == [8, 16, 24, 30]
    assert split_units([1] * 30, 2, 4, 0) == [13, 30]
    assert split_units([1] * 30, 2, 0, 4) == [17, 30]


def test_more_stages_than_layers_are_no_split() -> None:
    with pytest.raises(ValueError, match="2 runs of layers do not make 3 stages"):
        split_units([1, 1], 3, 0, 0)
