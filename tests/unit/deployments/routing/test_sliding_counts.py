"""Counts over the last seconds, against a list of everything that happened."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.sliding_counts import SlidingCounts

WINDOW_S = 10.0
STEPS = st.lists(st.tuples(st.floats(0, 4), st.booleans()), min_size=1, max_size=60)


@given(STEPS, st.floats(0, 1e6))
def test_all_of_nine_tenths_and_nothing_beyond_the_window_is_counted(
    steps: list[tuple[float, bool]], began_s: float
) -> None:
    counts = SlidingCounts(WINDOW_S)
    times = list(accumulate((delay for delay, _ in steps), initial=began_s))[1:]
    for time, (_, marked) in zip(times, steps, strict=True):
        counts.add(time, events=1, marked=marked)
    events, num_marked = counts.totals(times[-1])
    surely = [time > times[-1] - 0.9 * WINDOW_S + 1e-6 for time in times]
    maybe = [time > times[-1] - WINDOW_S - 1e-6 for time in times]
    assert sum(surely) <= events <= sum(maybe)
    flags = [flag for _, flag in steps]
    assert sum(a and b for a, b in zip(surely, flags, strict=True)) <= num_marked
    assert num_marked <= sum(a and b for a, b in zip(maybe, flags, strict=True))


def test_after_a_window_without_events_nothing_is_left() -> None:
    counts = SlidingCounts(WINDOW_S)
    counts.add(3.0, events=5, marked=2)
    assert counts.totals(11.9) == (5, 2)
    assert counts.totals(13.0) == (0, 0)
