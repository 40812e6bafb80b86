"""What is said of a metric before it has a value: its name, type, labels and meaning. Pure.

Names are those that the code gives to Ray. Prometheus has them with the prefix ``ray_``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

PREFIX = "ray_"
_UNITS = ("seconds", "bytes", "tokens", "ratio")


@dataclass(frozen=True, slots=True)
class Row:
    """``labels`` are ours; Ray adds its own. ``needs``: what has to be there before it has any series."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    needs: str = ""

    kind: ClassVar[str]

    @property
    def exported(self) -> str:
        """The name in Prometheus; of a histogram that of its family."""
        return PREFIX + self.name

    @property
    def unit(self) -> str:
        """The base unit that the name ends in; empty for plain numbers."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in _UNITS else ""


@dataclass(frozen=True, slots=True)
class CounterRow(Row):
    """Only goes up, from 0 at the start of the process that reports it. Its name ends in ``_total``."""

    kind: ClassVar[str] = "counter"


@dataclass(frozen=True, slots=True)
class GaugeRow(Row):
    """What is so now."""

    kind: ClassVar[str] = "gauge"


@dataclass(frozen=True, slots=True)
class HistogramRow(Row):
    """``buckets`` are upper bounds, above 0 and rising.

    Ray counts exactly in which bucket each value falls, and makes the sum up from the middles of the buckets, so
    a mean is as rough as they are wide.
    """

    buckets: tuple[float, ...] = ()

    kind: ClassVar[str] = "histogram"


@dataclass(frozen=True, slots=True)
class Section:
    """The metrics of one part. ``reporter`` says which processes report them."""

    title: str
    reporter: str
    rows: tuple[Row, ...]
