"""Every series that the table of metrics promises, as promtool writes them: a cluster in which all goes on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from cluster.grafana.boards import ray_metrics
from cluster.grafana.promql import Foreign
from deployments.metrics.row import CounterRow, HistogramRow, Row
from deployments.metrics.table import ROWS

SAMPLES = 60
_RISING, _STEADY = f"0+5x{SAMPLES}", f"2x{SAMPLES}"
_RAYS = {"SessionName": ("session",), "NodeAddress": ("10.0.0.1",)}

# What each label may be; of all others one value is enough.
_VALUES: dict[str, tuple[str, ...]] = {
    "application": ("smol@1",),
    "error": ("", "overloaded"),
    "model": ("smol",),
    "outcome": ("ok", "failed"),
    "phase": ("load", "total"),
    "rank": ("", "0"),
    "state": ("closed", "running"),
    "status": ("ready", "failed"),
    "cause": ("load",),
    "term": ("total", "peak", "kv_cache", "weights"),
    "version": ("1",),
}


def all_series() -> dict[str, str]:
    """Selectors with their values, of the whole table and of the metrics of Ray's that are used."""
    foreign = [each for each in vars(ray_metrics).values() if isinstance(each, Foreign)]
    metrics: tuple[Row | Foreign, ...] = (*ROWS, *foreign)
    return dict(found for metric in metrics for found in _series(metric))


def _series(metric: Row | Foreign) -> Iterator[tuple[str, str]]:
    named = _RAYS | {label: _VALUES.get(label, ("x",)) for label in metric.labels}
    for values in itertools.product(*named.values()):
        labels = ",".join(f'{name}="{value}"' for name, value in zip(named, values, strict=True))
        if isinstance(metric, HistogramRow):
            for bound in (*metric.buckets, "+Inf"):
                yield f'{metric.exported}_bucket{{{labels},le="{bound}"}}', _RISING
        else:
            yield f"{metric.exported}{{{labels}}}", _RISING if isinstance(metric, CounterRow) else _STEADY
