"""What Ray's own metrics, which check their labels, were given."""

from __future__ import annotations

from collections import Counter as Sums

import pytest
from ray.util.metrics import Counter, Gauge, Histogram, Metric

Series = tuple[str, frozenset[tuple[str, str]]]


class Reported:
    """``gauges`` and ``counters`` by name and labels, as Prometheus would have them; ``observed`` in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gauges: dict[Series, float] = {}
        self.counters: Sums[Series] = Sums()
        self.observed: list[tuple[Series, float]] = []
        record = Metric._record

        def spy(metric: Metric, value: float, tags: dict[str, str] | None = None) -> None:
            record(metric, value, tags)
            series = metric.info["name"], frozenset({**metric.info["default_tags"], **(tags or {})}.items())
            match metric:
                case Gauge():
                    self.gauges[series] = value
                case Counter():
                    self.counters[series] += value  # type: ignore[assignment]
                case Histogram():
                    self.observed.append((series, value))

        monkeypatch.setattr(Metric, "_record", spy)


def series(name: str, /, **labels: str) -> Series:
    return name, frozenset(labels.items())
