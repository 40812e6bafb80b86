"""The only statistics used here: the median of ratios that were each measured within one round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over theirs: the median of the rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float
    num_rounds: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The ratio of two series whose items were measured in the same rounds; all positive.

    A machine's speed drifts from minute to minute: within a round both sides meet the same speed, which the
    quotient cancels. The median then drops the rounds in which something else disturbed one side.
    """
    rounds = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Ratio(median(rounds), min(rounds), max(rounds), len(rounds))
