"""Whether a failed call is made once more, and when."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.routing.retry import (
    BUDGET_WINDOW_S,
    LOST_ATTEMPTS,
    MIN_BUDGET,
    Retrier,
    Retries,
    RetryBudget,
    full_jitter_s,
)
from models import errors

DEAD = errors.ModelUnavailableError("its replica died")
LOST = errors.ModelUnavailableError("its node is gone", is_lost=True)
NO_LIMIT = Retries(attempts=10, budget=1)


def draws(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311 - the same draws in each run


def retrier(now_s: float = 0.0) -> Retrier:
    return Retrier(lambda: now_s, draws())


@pytest.mark.parametrize("error", [DEAD, errors.EngineError("NaN"), errors.ModelNotFoundError("m@1 was removed")])
def test_what_another_replica_may_answer_is_tried_again(error: Exception) -> None:
    delay_s = retrier().delay_s("m", Retries(min_delay_ms=40), error, 1)
    assert delay_s is not None
    assert 0 <= delay_s <= 0.040


@pytest.mark.parametrize(
    "error",
    [
        errors.OverloadedError("its queue is full"),
        errors.DeadlineExceededError("no time is left"),
        errors.ContextLengthError("too long"),
        errors.InvalidRequestError("top_p is 7"),
        errors.QuotaExceededError("none left"),
        KeyError("a defect of ours"),
    ],
)
def test_what_would_fail_again_or_do_harm_is_not(error: Exception) -> None:
    assert retrier().delay_s("m", NO_LIMIT, error, 1) is None


def test_attempts_count_the_first_one() -> None:
    attempts_made = [n for n in range(1, 6) if retrier().delay_s("m", Retries(attempts=3), DEAD, n) is not None]
    assert attempts_made == [1, 2]
    assert retrier().delay_s("m", Retries(attempts=1), DEAD, 1) is None


def test_a_request_is_not_lost_with_its_replica_while_serve_does_not_know_of_it() -> None:
    """The retry at once and the long ones, which outlast the time until Serve knows."""
    decides = retrier()
    retries = Retries(attempts=2, budget=0, min_delay_ms=40)
    delays = [decides.delay_s("m", retries, LOST, n) for n in range(1, LOST_ATTEMPTS + 1)]
    assert delays[-1] is None
    first, *long = [delay for delay in delays if delay is not None]
    assert 0 <= first <= 0.040
    assert [0.5 * 2**n <= delay <= 2**n for n, delay in enumerate(long)] == [True] * (LOST_ATTEMPTS - 2)
    assert sum(long) >= 7.5
    assert decides.delay_s("m", retries, DEAD, 2) is None
    assert decides.delay_s("m", Retries(attempts=1), LOST, 1) is None


def test_each_route_has_its_own_budget() -> None:
    decides = retrier()
    retries = Retries(attempts=10, budget=0)
    spent = [decides.delay_s("a", retries, DEAD, 1) is not None for _ in range(MIN_BUDGET + 1)]
    assert spent == [True] * MIN_BUDGET + [False]
    assert decides.delay_s("b", retries, DEAD, 1) is not None


def test_requests_fill_the_budget_of_their_route() -> None:
    decides = retrier()
    for _ in range(100):
        decides.count_request("a")
    given_out = [decides.delay_s("a", Retries(budget=0.2), DEAD, 1) is not None for _ in range(100)]
    assert sum(given_out) == 20 + MIN_BUDGET


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=100),
    st.floats(0, 1),
)
def test_retries_are_a_bounded_share_of_the_requests_over_any_run(
    steps: list[tuple[float, int, int]], share: float
) -> None:
    budget, now_s, num_requests, num_retries = RetryBudget(), 0.0, 0, 0
    for delay_s, requests, failures in steps:
        now_s += delay_s
        for _ in range(requests):
            budget.count_request(now_s)
        num_requests += requests
        num_retries += sum(budget.take(now_s, share) for _ in range(failures))
    floor = MIN_BUDGET * (now_s / (0.9 * BUDGET_WINDOW_S) + 1)
    assert num_retries <= share * num_requests + floor + 1e-6


@given(st.integers(1, 2000), st.integers(0, 2**32), st.floats(0, 100), st.floats(0, 1000))
def test_delays_stay_below_their_bound(attempts_made: int, seed: int, least_ms: float, more_ms: float) -> None:
    retries = Retries(min_delay_ms=least_ms, max_delay_ms=least_ms + more_ms)
    delay_s = full_jitter_s(retries, min(attempts_made, retries.attempts), draws(seed))
    assert 0 <= delay_s <= retries.max_delay_ms / 1000


def test_delays_are_spread_over_all_of_a_bound_that_doubles() -> None:
    rng, retries = draws(), Retries(min_delay_ms=100, max_delay_ms=350)
    for attempts_made, bound_s in ((1, 0.1), (2, 0.2), (3, 0.35), (4, 0.35)):
        delays = sorted(full_jitter_s(retries, attempts_made, rng) for _ in range(1000))
        assert delays[20] < 0.05 * bound_s
        assert 0.95 * bound_s < delays[-20] <= bound_s


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"min_delay_ms": 2000}, "min_delay_ms 2000 exceeds max_delay_ms 1000"),
        ({"attempts": 0}, "attempts"),
        ({"budget": 1.1}, "budget"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(written: dict[str, float], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Retries.model_validate(written)


def test_how_much_of_a_budget_is_used_and_what_it_refused() -> None:
    asked = retrier()
    for _ in range(10):
        asked.count_request("m")
    settings = Retries(budget=0.2)
    made = [asked.delay_s("m", settings, DEAD, 1) is not None for _ in range(6)]
    assert made == [True] * 5 + [False]
    assert asked.used(lambda _: 0.2) == {"m": 1.0}
    assert asked.used(lambda _: 0.7) == {"m": 0.5}
    assert asked.refused == {"m": 1}
