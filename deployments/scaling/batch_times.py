"""How long batches take by their size, learnt from those that were computed. Pure."""

from __future__ import annotations

# Of what is known, what a new batch leaves: about the last fifty decide.
_KEPT_SHARE = 0.98
# How much variance of sizes it takes to believe in a slope.
_PRIOR_VARIANCE = 0.25


class BatchTimes:
    """Least squares of the seconds over the sizes, older batches counting less and less.

    Where all batches have the same size, their whole time is taken to be that of their items: a replica then can
    do no more than it does now, whatever could be gained by larger batches.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._size = self._seconds = 0.0
        self._variance = self._covariance = 0.0

    def learn(self, size: int, seconds: float) -> None:
        """A batch of ``size`` has taken so long."""
        self._weight = _KEPT_SHARE * self._weight + 1.0
        share = 1.0 / self._weight
        off_size, off_seconds = size - self._size, seconds - self._seconds
        self._size += share * off_size
        self._seconds += share * off_seconds
        kept = 1.0 - share
        self._variance = kept * (self._variance + share * off_size * off_size)
        self._covariance = kept * (self._covariance + share * off_size * off_seconds)

    def line(self) -> tuple[float, float] | None:
        """Seconds of any batch, and of each item in it; neither is below 0. None before the first one."""
        if not self._weight:
            return None
        by_item = self._seconds / self._size
        slope = (self._covariance + _PRIOR_VARIANCE * by_item) / (self._variance + _PRIOR_VARIANCE)
        slope = min(max(0.0, slope), by_item)
        return self._seconds - slope * self._size, slope
