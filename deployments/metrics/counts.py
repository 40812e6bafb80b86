"""Counters that are added to in plain Python, and handed to Ray, which takes ten times as long, now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from deployments.metrics.ray_metrics import begin, make_counter
from deployments.metrics.row import CounterRow

Key = tuple[CounterRow, tuple[str, ...]]


class Counts:
    """Of these rows. ``add`` and ``take`` belong to one thread, ``tell`` may be called on another."""

    def __init__(self, rows: Iterable[CounterRow], tags: Mapping[str, str] | None = None) -> None:
        """``tags``: the labels that are the same for all series; the others are given with each value."""
        self._tags = dict(tags or {})
        self._counters = {row: make_counter(row, self._tags) for row in rows}
        self._added: Counter[Key] = Counter()
        self._totals: dict[Key, float] = {}

    def add(self, row: CounterRow, labels: tuple[str, ...], amount: float = 1) -> None:
        """``labels`` in the order of the row's."""
        self._added[row, labels] += amount  # type: ignore[assignment]  # seconds and money are counted too

    def take(self) -> Mapping[Key, float]:
        """What was added since the last time."""
        added, self._added = self._added, Counter()
        return added

    def tell(self, added: Mapping[Key, float]) -> None:
        """Hand to Ray what was taken."""
        for (row, labels), amount in added.items():
            if amount > 0:
                self._counters[row].inc(amount, self._labels(row, labels))

    def reach(self, row: CounterRow, labels: tuple[str, ...], total: float) -> None:
        """Of what is counted elsewhere: so many by now. Its series begins at 0."""
        before = self._totals.get((row, labels))
        if before is None:
            begin(self._counters[row], self._labels(row, labels))
        if total > (before or 0):
            self._counters[row].inc(total - (before or 0), self._labels(row, labels))
        self._totals[row, labels] = total

    def _labels(self, row: CounterRow, labels: tuple[str, ...]) -> dict[str, str]:
        own = (name for name in row.labels if name not in self._tags)
        return dict(zip(own, labels, strict=True))
