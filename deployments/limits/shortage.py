"""Why a request cannot be let in now."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.limits.amounts import Unit
from deployments.limits.limit_set import Counter
from models.errors import QuotaExceededError, StateUnavailableError, StowageError


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that has no room for the request; ``retry_after_s`` says when it may have some.

    ``is_final``: the state database has no more of it either. ``outage``: why it cannot be asked.
    """

    counter: Counter
    limit: int
    retry_after_s: float
    is_final: bool
    outage: str | None = None

    def error(self) -> StowageError:
        """For the caller."""
        what = f"{self.counter.kind} {self.counter.scope!r}"
        size = f"{self.counter.limit} of {self.counter.limit.show(self.limit)}"
        if self.outage is not None:
            return StateUnavailableError(
                f"what is left of the {size} of {what} cannot be asked: {self.outage}", remedy="try again later"
            )
        return QuotaExceededError(
            f"{what} has reached its {size}",
            remedy=self._remedy(),
            retry_after_s=self.retry_after_s,
            is_budget=self.counter.limit.window.is_budget,
            limit=str(self.counter.limit),
            scope=str(self.counter.kind),
        )

    def _remedy(self) -> str:
        if self.counter.limit.unit is Unit.SLOTS:
            return "wait until a request has ended"
        return f"there may be more in {self.retry_after_s:.0f} s, or ask for a higher limit"
