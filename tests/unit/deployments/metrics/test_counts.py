"""What is counted in plain Python reaches Ray, once."""

from __future__ import annotations

import pytest

from deployments.metrics.counts import Counts
from deployments.metrics.row import CounterRow
from tests.unit.deployments.metrics.reported import Reported, series

THINGS = CounterRow("stowage_test_things_total", "for this test", ("router", "model"))
MONEY = CounterRow("stowage_test_money_total", "for this test", ("router",))


@pytest.fixture
def counts() -> Counts:
    return Counts((THINGS, MONEY), {"router": "r"})


def test_what_was_added_is_told_once(counts: Counts, reported: Reported) -> None:
    counts.add(THINGS, ("a",))
    counts.add(THINGS, ("a",), 2)
    counts.add(THINGS, ("b",))
    counts.add(MONEY, (), 0.25)
    assert reported.counters == {}
    counts.tell(counts.take())
    counts.tell(counts.take())
    assert reported.counters == {
        series(THINGS.name, router="r", model="a"): 3,
        series(THINGS.name, router="r", model="b"): 1,
        series(MONEY.name, router="r"): 0.25,
    }


def test_nothing_is_not_told(counts: Counts, reported: Reported) -> None:
    counts.add(THINGS, ("a",), 0)
    counts.tell(counts.take())
    assert reported.counters == {}


def test_a_total_from_elsewhere_begins_at_nothing_and_is_reached(counts: Counts, reported: Reported) -> None:
    counts.reach(THINGS, ("a",), 0)
    assert reported.counters == {series(THINGS.name, router="r", model="a"): 0}
    for total in (2, 2, 5):
        counts.reach(THINGS, ("a",), total)
    assert reported.counters == {series(THINGS.name, router="r", model="a"): 5}


def test_labels_that_do_not_fit_the_row_are_a_defect(counts: Counts) -> None:
    counts.add(THINGS, ("a", "b"))
    with pytest.raises(ValueError, match="longer"):
        counts.tell(counts.take())
