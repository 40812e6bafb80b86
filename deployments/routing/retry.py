"""Whether a failed call is made once more, and when. Pure: clock and randomness are passed in.

Retries help when failures are few and harm when they are many: then they multiply the load on what is left. So
they are a bounded share of the requests (the retry budget of Finagle and Envoy), and each waits for a random time
up to a bound that doubles (full jitter: Brooker, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Self

from pydantic import Field, model_validator

from deployments.routing.failures import Failure, classify
from deployments.routing.sliding_counts import SlidingCounts
from models.errors import ModelUnavailableError
from models.manifest import Frozen

BUDGET_WINDOW_S = 10.0
MIN_BUDGET = 3
"""Retries in a window that are allowed whatever the share: a route with few requests can retry too."""

LOST_ATTEMPTS = 6
"""Of a request whose replica was lost each time. Until Serve finds that a node is gone, it names the same replica
again; that takes seconds, and so do these: 7.5 to 15 in all."""

_LOST_DELAY_S = 1.0


class Retries(Frozen):
    """``attempts`` is how often one request is tried, the first time included; 1: never again.

    ``budget`` is the share of the requests that may be retries. Before the first retry a random time up to
    ``min_delay_ms`` passes; the bound doubles with each further one, up to ``max_delay_ms``.
    """

    attempts: int = Field(default=3, ge=1, le=10)
    budget: float = Field(default=0.2, ge=0, le=1)
    min_delay_ms: float = Field(default=25, ge=0)
    max_delay_ms: float = Field(default=1000, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_delays(self) -> Self:
        if self.min_delay_ms > self.max_delay_ms:
            raise ValueError(f"min_delay_ms {self.min_delay_ms:g} exceeds max_delay_ms {self.max_delay_ms:g}")
        return self


class RetryBudget:
    """At most ``share`` of the requests of the last seconds, and MIN_BUDGET, are retries.

    Over T seconds with R requests these are at most share * R + MIN_BUDGET * (T / (0.9 * BUDGET_WINDOW_S) + 1).
    """

    def __init__(self) -> None:
        self._counts = SlidingCounts(BUDGET_WINDOW_S)

    def count_request(self, now_s: float) -> None:
        self._counts.add(now_s, events=1)

    def used(self, now_s: float, share: float) -> float:
        """Of the retries that are allowed now, the share that was made."""
        requests, retries = self._counts.totals(now_s)
        return retries / (share * requests + MIN_BUDGET)

    def take(self, now_s: float, share: float) -> bool:
        """Whether one more retry is within the budget; it is counted then."""
        requests, retries = self._counts.totals(now_s)
        if retries + 1 > share * requests + MIN_BUDGET:
            return False
        self._counts.add(now_s, marked=1)
        return True


class Retrier:
    """Decides on retries, with one budget for each route. ``clock`` gives seconds and never goes back.

    ``refused`` counts, by route, those that the budget did not allow.
    """

    def __init__(self, clock: Callable[[], float], rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)
        self.refused: Counter[str] = Counter()

    def count_request(self, route: str) -> None:
        """Once for each request, when its route has led to a model that exists."""
        self._budgets[route].count_request(self._clock())

    def used(self, share: Callable[[str], float]) -> dict[str, float]:
        """By route, how much of its budget is used; ``share`` is that of its requests which may be retries."""
        now_s = self._clock()
        return {route: budget.used(now_s, share(route)) for route, budget in self._budgets.items()}

    def delay_s(self, route: str, retries: Retries, error: Exception, attempts_made: int) -> float | None:
        """Seconds to wait before the next attempt; None: ``error`` stands.

        Ask only after a call that was made and has given nothing of its answer. Only what another replica or
        version may answer is tried again: a full queue would only become longer.
        """
        if classify(error) is not Failure.UNAVAILABLE or attempts_made >= _attempts(retries, error):
            return None
        if _seeks_another(error, attempts_made):  # what is gone is not burdened, and the first retry was counted
            return self._rng.uniform(0.5, 1.0) * _LOST_DELAY_S * 2.0 ** (attempts_made - 2)
        if not self._budgets[route].take(self._clock(), retries.budget):
            self.refused[route] += 1
            return None
        return full_jitter_s(retries, attempts_made, self._rng)


def _attempts(retries: Retries, error: Exception) -> int:
    """Who wants no retries gets none."""
    return max(retries.attempts, LOST_ATTEMPTS) if _is_lost(error) and retries.attempts > 1 else retries.attempts


def _seeks_another(error: Exception, attempts_made: int) -> bool:
    """Whether the retry that comes at once, for another replica, has met one that is gone too."""
    return _is_lost(error) and attempts_made > 1


def _is_lost(error: Exception) -> bool:
    return isinstance(error, ModelUnavailableError) and error.is_lost


def full_jitter_s(retries: Retries, attempts_made: int, rng: Random) -> float:
    """A random time, in seconds, from 0 to the bound that holds after so many attempts."""
    bound_ms = min(retries.max_delay_ms, retries.min_delay_ms * 2.0 ** (attempts_made - 1))
    return rng.uniform(0.0, bound_ms) / 1000
