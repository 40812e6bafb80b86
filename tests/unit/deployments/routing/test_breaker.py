"""The breaker of one version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.routing.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(window_s=10, min_requests=4, failure_share=0.5, open_s=5, max_open_s=15, probes=2)


def call(breaker: Breaker, now_s: float, succeeded: bool | None) -> bool:
    """Whether the call was admitted; if so it ends at once."""
    era = breaker.begin(now_s)
    if era is not None:
        breaker.end(era, now_s, succeeded=succeeded)
    return era is not None


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    for _ in range(SETTINGS.min_requests):
        call(breaker, now_s, succeeded=False)
    assert not breaker.is_closed
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "is_closed"),
    [
        ([False] * 3, True),  # too few to tell
        ([False] * 4, False),
        ([True, True, True, False, False], True),
        ([True, True, False, False], False),
        ([None, None, None, None, False, False, False], True),  # what says nothing is not counted
    ],
)
def test_it_opens_at_a_share_of_failures_of_enough_calls(outcomes: list[bool | None], is_closed: bool) -> None:
    breaker = Breaker(SETTINGS)
    assert all(call(breaker, 1.0, outcome) for outcome in outcomes)
    assert breaker.is_closed == is_closed


def test_failures_are_forgotten_with_the_window() -> None:
    breaker = Breaker(SETTINGS)
    for now_s in (0.0, 0.0, 0.0, 10.0):
        call(breaker, now_s, succeeded=False)
    assert breaker.is_closed


def test_open_it_admits_nothing_and_says_for_how_long() -> None:
    breaker = opened()
    assert breaker.blocked_s(2.0) == 3.0
    assert not call(breaker, 4.9, succeeded=True)
    assert breaker.blocked_s(5.0) == 0.0


def test_half_open_it_admits_its_probes_and_closes_when_all_succeed() -> None:
    breaker = opened()
    eras = [breaker.begin(5.0) for _ in range(3)]
    assert [era is not None for era in eras] == [True, True, False]
    assert eras[0] is not None
    breaker.end(eras[0], 5.1, succeeded=True)
    assert breaker.blocked_s(5.1) > 0
    breaker.end(eras[0], 5.2, succeeded=True)
    assert breaker.is_closed
    assert call(breaker, 5.3, succeeded=False)
    assert breaker.is_closed, "it counts from the beginning"


def test_a_failed_probe_opens_it_for_longer_up_to_a_bound_and_closing_forgets_that() -> None:
    breaker, now_s = opened(), 0.0
    for expected_s in (5.0, 10.0, 15.0, 15.0):
        assert breaker.blocked_s(now_s) == expected_s
        now_s += expected_s
        call(breaker, now_s, succeeded=False)
    now_s += 15.0
    assert call(breaker, now_s, succeeded=True)
    assert call(breaker, now_s, succeeded=True)
    assert breaker.is_closed
    for _ in range(4):
        call(breaker, now_s, succeeded=False)
    assert breaker.blocked_s(now_s) == 5.0


def test_a_probe_that_was_given_up_leaves_its_place_to_another() -> None:
    breaker = opened()
    assert all(call(breaker, 5.0, succeeded=None) for _ in range(10))
    assert not breaker.is_closed


def test_calls_from_before_it_opened_decide_nothing() -> None:
    breaker = Breaker(SETTINGS)
    early = breaker.begin(0.0)
    assert early is not None
    for _ in range(4):
        call(breaker, 0.0, succeeded=False)
    breaker.end(early, 5.0, succeeded=True)
    breaker.end(early, 5.0, succeeded=True)
    assert not breaker.is_closed


def test_probes_that_never_come_back_are_given_up() -> None:
    breaker = opened()
    lost = [breaker.begin(5.0), breaker.begin(6.0)]
    assert breaker.blocked_s(7.0) == 4.0
    assert call(breaker, 11.0, succeeded=True)
    assert lost[0] is not None
    breaker.end(lost[0], 11.0, succeeded=False)
    assert breaker.blocked_s(11.0) == 0.0, "their late end is not taken for that of a later probe"
    assert call(breaker, 11.0, succeeded=True)
    assert breaker.is_closed


ENDS = st.sampled_from([True, False, None, "never"])


@given(st.lists(st.tuples(st.floats(0, 8), ENDS), max_size=80))
def test_it_never_blocks_for_ever(steps: list[tuple[float, bool | str | None]]) -> None:
    breaker, now_s = Breaker(SETTINGS), 0.0
    for delay_s, ending in steps:
        now_s += delay_s
        era = breaker.begin(now_s)
        if era is not None and not isinstance(ending, str):
            breaker.end(era, now_s, succeeded=ending)
        blocked_s = breaker.blocked_s(now_s)
        assert blocked_s <= SETTINGS.max_open_s + 1e-6
    assert breaker.begin(now_s + breaker.blocked_s(now_s) + 1e-6) is not None


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3), ENDS), max_size=120))
def test_no_more_than_its_probes_are_under_way_at_once(
    steps: list[tuple[float, int, bool | str | None]],
) -> None:
    """Half open, and but for those that have been given up."""
    breaker, now_s = opened(), 0.0
    under_way: list[tuple[int, float]] = []
    for delay_s, index, ending in steps:
        now_s += delay_s
        if breaker.is_closed:
            return
        era = breaker.begin(now_s)
        if era is not None:
            under_way = [(each, began_s) for each, began_s in under_way if each == era]
            under_way.append((era, now_s))
            assert len(under_way) <= SETTINGS.probes
        if index < len(under_way) and not isinstance(ending, str):
            ended, _ = under_way[index]
            breaker.end(ended, now_s, succeeded=ending)
            if ending is None:
                del under_way[index]


@given(st.lists(st.floats(0, 3), max_size=100))
def test_probes_that_never_come_back_are_few(delays: list[float]) -> None:
    breaker, now_s, num_admitted = opened(), 0.0, 0
    for delay_s in delays:
        now_s += delay_s
        num_admitted += breaker.begin(now_s) is not None
    assert num_admitted <= SETTINGS.probes * (now_s / SETTINGS.open_s + 1)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"open_s": 61}, "open_s 61 exceeds max_open_s 60"),
        ({"failure_share": 0}, "failure_share"),
        ({"probes": 0}, "probes"),
        ({"max_open_s": float("inf")}, "max_open_s"),
    ],
)
def test_settings_under_which_it_could_not_work_are_refused(written: dict[str, float], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        BreakerSettings.model_validate(written)
