"""From samples to tables: ratios within rounds, and medians for orientation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from benchmarks.ratios import ratio_of

Sample = TypeVar("Sample")
Metrics = Mapping[str, Callable[[Sample], float]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under ``headers``; the first column is a name, the others are right-aligned."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """In Markdown."""
        rule = ("---", *("---:" for _ in self.headers[1:]))
        lines = [f"| {' | '.join(cells)} |" for cells in (self.headers, rule, *self.rows)]
        return "\n".join([f"{self.caption}:", "", *lines])


@dataclass(frozen=True, slots=True)
class Pair(Generic[Sample]):
    """Two series of samples of the same rounds, in the same order."""

    label: str
    ours: Sequence[Sample]
    theirs: Sequence[Sample]


def ratios(caption: str, pairs: Sequence[Pair[Sample]], metrics: Metrics[Sample]) -> Table:
    """One row for each pair: ours over theirs, the median over rounds and the extremes."""
    rows = [
        (
            pair.label,
            *(
                str(ratio_of([metric(sample) for sample in pair.ours], [metric(sample) for sample in pair.theirs]))
                for metric in metrics.values()
            ),
        )
        for pair in pairs
    ]
    return Table(caption, ("", *metrics), tuple(rows))


def medians(caption: str, series: Mapping[str, Sequence[Sample]], metrics: Metrics[Sample]) -> Table:
    """One row for each series. Absolute values hold for one machine and one minute only."""
    rows = [
        (label, *(f"{median(metric(sample) for sample in samples):.4g}" for metric in metrics.values()))
        for label, samples in series.items()
    ]
    return Table(caption, ("", *metrics), tuple(rows))
