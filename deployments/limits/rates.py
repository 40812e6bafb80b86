"""What is left of the limits per minute, as OpenAI's ``x-ratelimit-*`` headers tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deployments.limits.lease import Lease
from deployments.limits.limit_set import LimitName


@dataclass(frozen=True, slots=True)
class Rate:
    """One limit per minute: how much is left of it, and in how many seconds it is whole again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class RateStatus:
    """None where no scope has such a limit."""

    requests: Rate | None = None
    tokens: Rate | None = None

    def headers(self) -> dict[str, str]:
        """The headers of the limits that there are."""
        return dict(self._headers())

    def _headers(self) -> Iterator[tuple[str, str]]:
        for name, rate in (("requests", self.requests), ("tokens", self.tokens)):
            if rate is not None:
                yield f"x-ratelimit-limit-{name}", str(rate.limit)
                yield f"x-ratelimit-remaining-{name}", str(rate.remaining)
                yield f"x-ratelimit-reset-{name}", f"{rate.reset_s:.3f}s"


def rate_status(leases: Iterable[Lease], now: float) -> RateStatus:
    """Of the scope that has least left."""
    found = list(leases)
    return RateStatus(
        requests=_tightest(found, LimitName.REQUESTS_PER_MINUTE, now),
        tokens=_tightest(found, LimitName.TOKENS_PER_MINUTE, now),
    )


def _tightest(leases: Iterable[Lease], name: LimitName, now: float) -> Rate | None:
    candidates = [lease for lease in leases if lease.counter.limit is name]
    if not candidates:
        return None
    lease = min(candidates, key=lambda each: each.remaining)
    return Rate(lease.limit, lease.remaining, max(0.0, lease.ends_at - now))
