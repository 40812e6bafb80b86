"""What several routers tell is one load."""

from __future__ import annotations

import pytest

from deployments.scaling.board import GONE_S, SILENT_S, DemandBoard
from deployments.scaling.demand import RouterDemand, VersionDemand, dump_demand
from deployments.scaling.load import RouterLoad


def told(beat: int, **versions: VersionDemand) -> bytes:
    return dump_demand(RouterDemand(beat, versions))


def test_nobody_has_told_anything() -> None:
    assert DemandBoard().load("m", 0) == RouterLoad()


def test_routers_are_summed_and_the_longest_wait_is_kept() -> None:
    board = DemandBoard()
    one = VersionDemand(
        num_waiting=2, num_waking=1, waiting_tokens=10.4, oldest_wait_s=1, num_under_way=3, num_arrived=5
    )
    other = VersionDemand(num_waiting=1, waiting_tokens=5, oldest_wait_s=4, num_under_way=1, num_arrived=2)
    board.hear({"a": told(1, m=one), "b": told(1, m=other)}, 100)
    load = board.load("m", 101)
    assert (load.num_waiting, load.num_waking, load.num_under_way, load.waiting_tokens) == (3, 1, 4, 15)
    assert (load.oldest_wait_s, load.age_s) == (4, 1)
    assert board.load("another", 101) == RouterLoad(age_s=1)


def test_arrivals_count_over_the_window_however_often_they_are_told() -> None:
    board = DemandBoard()
    for second in range(11):
        demand = VersionDemand(num_arrived=100 + 4 * second, arrived_tokens=40.0 * second)
        board.hear({"a": told(second + 1, m=demand)}, 100 + second)
    load = board.load("m", 110)
    assert load.arrivals_per_s == pytest.approx(4)
    assert load.arrived_tokens_per_s == pytest.approx(40)
    assert board.load("m", 115).arrivals_per_s == 0  # nothing new for as long as the window


def test_what_a_router_had_counted_before_it_was_first_heard_is_no_news() -> None:
    board = DemandBoard()
    board.hear({"a": told(9, m=VersionDemand(num_arrived=1000))}, 100)
    board.hear({"a": told(10, m=VersionDemand(num_arrived=1005))}, 101)
    assert board.load("m", 101).arrivals_per_s == pytest.approx(5)


def test_the_first_request_for_a_version_of_a_known_router_is_news() -> None:
    board = DemandBoard()
    board.hear({"a": told(1)}, 100)
    board.hear({"a": told(2, m=VersionDemand(num_arrived=10))}, 102)
    assert board.load("m", 102).arrivals_per_s == pytest.approx(5)


def test_a_router_that_is_silent_does_not_count_and_is_gone_in_the_end() -> None:
    board = DemandBoard()
    waits = VersionDemand(num_waiting=1)
    board.hear({"dead": told(1, m=waits), "alive": told(1, m=waits)}, 100)
    now = 100 + SILENT_S + 1
    board.hear({"dead": told(1, m=waits), "alive": told(2, m=waits)}, now)
    assert board.load("m", now).num_waiting == 1
    assert board.gone(now) == []
    now = 100 + GONE_S + 1
    board.hear({"dead": told(1, m=waits), "alive": told(3, m=waits)}, now)
    assert board.gone(now) == ["dead"]
    board.hear({"alive": told(4, m=waits)}, now + 1)
    assert board.gone(now + 1) == []


def test_a_router_of_another_release_is_not_understood_and_goes_in_the_end() -> None:
    board = DemandBoard()
    board.hear({"new": b'{"release": 99}'}, 100)
    board.hear({"new": b'{"release": 99}'}, 100 + GONE_S + 1)
    assert board.load("m", 100 + GONE_S + 1) == RouterLoad()
    assert board.gone(100 + GONE_S + 1) == ["new"]
