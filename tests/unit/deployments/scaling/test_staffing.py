"""From loads to replicas."""

from __future__ import annotations

import pytest

from deployments.scaling.staffing import backlog, busy_share, spare, staff


def test_the_spare_part_shrinks_as_the_load_grows() -> None:
    assert spare(100, 1, 0, 2) == 20
    assert spare(400, 1, 0, 2) == 40
    assert spare(100, 4, 0, 2) == 40


def test_forecasts_that_were_off_count_for_more_than_chance() -> None:
    assert spare(100, 1, 30, 2) == 60


def test_staff_holds_the_load_and_keeps_a_tenth_more() -> None:
    need = staff("places", 32.0, lambda _: 16.0, "")
    assert (need.replicas, need.keep) == (2, 3)
    assert staff("places", 0.1 + 0.2, lambda _: 0.1, "").replicas == 3  # not 4 for a rounding error
    assert staff("places", 0.0, lambda _: 16.0, "").replicas == 0


def test_what_each_holds_may_depend_on_how_many_there_are() -> None:
    need = staff("places", 30.0, lambda number: 16.0 * (1 - 1 / (2 * number)), "")
    assert need.replicas == 3  # two hold 12 each, three 13.3
    assert need.per_replica == pytest.approx(16 * 5 / 6)


def test_who_may_not_wait_long_may_not_be_busy() -> None:
    shares = [busy_share(0.1, target_s, 1) for target_s in (0.5, 1.0, 2.0, 100.0)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.3, 0.9)
    assert busy_share(0.2, 2.0, 4) > busy_share(0.2, 2.0, 1)


def test_what_is_served_in_the_meantime_does_not_wait_any_more() -> None:
    assert backlog(10, 20, 25) == 5
    assert backlog(10, 20, 100) == 0
