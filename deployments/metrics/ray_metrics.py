"""The table's rows as metrics of Ray. Nothing else makes one."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from deployments.metrics.row import CounterRow, GaugeRow, HistogramRow


def make_counter(row: CounterRow, tags: Mapping[str, str] | None = None) -> Counter:
    """``tags``: the labels that are the same for all its series."""
    counter = Counter(row.name, row.meaning, row.labels)
    counter.set_default_tags(dict(tags or {}))
    return counter


def make_gauge(row: GaugeRow, tags: Mapping[str, str] | None = None) -> Gauge:
    """As above. Ray forgets what was not set within two of its report intervals, 20 s."""
    gauge = Gauge(row.name, row.meaning, row.labels)
    gauge.set_default_tags(dict(tags or {}))
    return gauge


def make_histogram(row: HistogramRow, tags: Mapping[str, str] | None = None) -> Histogram:
    """As above."""
    histogram = Histogram(row.name, row.meaning, list(row.buckets), row.labels)
    histogram.set_default_tags(dict(tags or {}))
    return histogram


def begin(counter: Counter, labels: Mapping[str, str] | None = None) -> None:
    """Let the series begin at 0. Ray has none before its first event, which no rate would then see.

    Ray's own ``inc`` refuses 0.
    """
    counter._record(0, dict(labels or {}))
