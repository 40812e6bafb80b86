from __future__ import annotations

from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.limits.windows import Window

CALENDAR = [window for window in Window if window is not Window.NOW]


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "begin", "end"),
    [
        (Window.MINUTE, "2026-12-31T23:59:00", "2027-01-01T00:00:00"),
        (Window.DAY, "2026-12-31T00:00:00", "2027-01-01T00:00:00"),
        (Window.MONTH, "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_a_window_is_the_one_of_the_calendar(window: Window, begin: str, end: str) -> None:
    assert window.bounds(at("2026-12-31T23:59:59.5")) == (at(begin), at(end))


def test_what_is_under_way_has_no_window() -> None:
    assert Window.NOW.bounds(at("2026-12-31T23:59:59")) == (0, inf)


@pytest.mark.parametrize("window", CALENDAR)
@given(now=st.floats(min_value=0, max_value=4e9))
def test_windows_follow_each_other_without_gaps(window: Window, now: float) -> None:
    begin, end = window.bounds(now)
    assert begin <= now < end
    assert window.bounds(begin) == (begin, end)
    assert window.bounds(end)[0] == end
