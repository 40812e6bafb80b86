"""PromQL made from the table of metrics, so that a name or a label that does not exist is found before Grafana."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.metrics.row import CounterRow, GaugeRow, HistogramRow, Row

# What Grafana puts in: the cluster that is looked at, and a window of at least four scrapes.
_SESSION = "SessionName"
_WINDOW = "$__rate_interval"

# Labels that Ray adds to every metric of ours.
RAY_LABELS = frozenset({_SESSION, "NodeAddress"})


@dataclass(frozen=True, slots=True)
class Foreign:
    """A metric of Ray's own, by its name in Prometheus."""

    exported: str
    labels: tuple[str, ...] = ()


Metric = Row | Foreign


def series(metric: Metric, suffix: str = "", **labels: str) -> str:
    """All series of a metric whose labels match; a value is a regular expression, with a leading ``!`` refused."""
    _check(metric, labels)
    matched = {_SESSION: f"${_SESSION}", **labels}
    inner = ",".join(f'{name}{_operator(value)}"{value.removeprefix("!")}"' for name, value in matched.items())
    return f"{metric.exported}{suffix}{{{inner}}}"


def total(metric: GaugeRow | Foreign, by: Sequence[str] = (), **labels: str) -> str:
    """A gauge added up over whoever reports it."""
    return _over("sum", metric, series(metric, **labels), by)


def most(metric: GaugeRow | Foreign, by: Sequence[str] = (), **labels: str) -> str:
    """Of a gauge that several say alike, or of which only the largest matters."""
    return _over("max", metric, series(metric, **labels), by)


def per_second(metric: CounterRow | Foreign, by: Sequence[str] = (), **labels: str) -> str:
    """A counter's rise a second, added up."""
    return _over("sum", metric, f"rate({series(metric, **labels)}[{_WINDOW}])", by)


def risen(metric: CounterRow | Foreign, window: str, by: Sequence[str] = (), **labels: str) -> str:
    """A counter's rise in the window, added up."""
    return _over("sum", metric, f"increase({series(metric, **labels)}[{window}])", by)


def quantile(share: float, metric: HistogramRow, by: Sequence[str] = (), **labels: str) -> str:
    """Below which ``share`` of the values lie, as near as the buckets tell."""
    return f"histogram_quantile({share}, {buckets(metric, by, **labels)})"


def buckets(metric: HistogramRow, by: Sequence[str] = (), **labels: str) -> str:
    """The rise of each bucket a second."""
    _check(metric, dict.fromkeys(by, ""))
    inner = f"rate({series(metric, '_bucket', **labels)}[{_WINDOW}])"
    return f"sum by ({', '.join((*by, 'le'))}) ({inner})"


def ratio(above: str, below: str) -> str:
    """None where there is nothing below, rather than a division by 0."""
    return f"({above}) / (({below}) > 0)"


def coded(metric: GaugeRow, by: Sequence[str], label: str, codes: Mapping[str, int], **labels: str) -> str:
    """Of a gauge that is 1 for the state in ``label``: the code of that state."""
    states = " or ".join(f"{series(metric, **labels, **{label: state})} * {code}" for state, code in codes.items())
    return _over("max", metric, states, by)


def _over(operator: str, metric: Metric, inner: str, by: Sequence[str]) -> str:
    _check(metric, dict.fromkeys(by, ""))
    return f"{operator} by ({', '.join(by)}) ({inner})" if by else f"{operator}({inner})"


def _check(metric: Metric, labels: Mapping[str, str]) -> None:
    unknown = sorted(set(labels) - set(metric.labels) - RAY_LABELS)
    if unknown:
        raise LookupError(f"{metric.exported} has no label {', '.join(unknown)}")


def _operator(value: str) -> str:
    return "!~" if value.startswith("!") else "=~"
