"""How long starts take."""

from __future__ import annotations

from deployments.scaling.starts import Starts


def test_from_the_wish_to_the_first_request() -> None:
    starts = Starts()
    assert starts.estimate_s(30) == 30
    starts.look(target=1, num_ready=0, now=100)
    starts.look(target=1, num_ready=0, now=105)
    starts.look(target=1, num_ready=1, now=112)
    assert (list(starts.measured), starts.estimate_s(30)) == ([12], 12)


def test_replicas_that_are_wanted_one_after_the_other_come_so() -> None:
    starts = Starts()
    starts.look(1, 1, 0)
    starts.look(2, 1, 10)
    starts.look(3, 1, 14)
    starts.look(3, 3, 20)
    assert list(starts.measured) == [10, 6]


def test_one_that_is_given_up_was_not_measured() -> None:
    starts = Starts()
    starts.look(3, 1, 0)
    starts.look(2, 1, 5)  # the load is over
    starts.look(2, 2, 8)
    starts.look(3, 2, 9)
    starts.look(3, 3, 10)
    assert list(starts.measured) == [8, 1]


def test_one_that_has_died_is_wanted_from_then_on() -> None:
    starts = Starts()
    starts.look(2, 2, 0)
    starts.look(2, 1, 10)
    starts.look(2, 2, 17)
    assert list(starts.measured) == [7]


def test_a_controller_that_comes_back_has_not_seen_since_when_they_were_wanted() -> None:
    starts = Starts((20.0,), is_known=True)
    for now, num_ready in enumerate((0, 0, 1, 2)):
        starts.look(2, num_ready, now)
    assert list(starts.measured) == [20]
    starts.look(3, 2, 10)
    starts.look(3, 3, 15)
    assert list(starts.measured) == [20, 5]


def test_most_starts_are_no_longer_than_the_estimate_and_the_odd_one_does_not_count() -> None:
    starts = Starts([10, 11, 12, 9, 500, 10, 11, 12])
    assert starts.estimate_s(1) == 12


def test_only_the_last_ones_count() -> None:
    starts = Starts([100] * 12)
    for start in range(12):
        starts.look(1, 0, 10 * start)
        starts.look(1, 1, 10 * start + 3)
        starts.look(0, 0, 10 * start + 4)
    assert list(starts.measured) == [3] * 12
