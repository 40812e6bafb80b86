"""A gauge with a series for each state that something was in: 1 for the one in which it is."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.metrics.ray_metrics import make_gauge
from deployments.metrics.row import GaugeRow


class StateGauge:
    """``label``: the label that has the state's name. States in which it never was have no series."""

    def __init__(self, row: GaugeRow, label: str = "state") -> None:
        self._gauge = make_gauge(row)
        self._label = label
        self._seen: dict[frozenset[tuple[str, str]], set[str]] = {}

    def set(self, labels: Mapping[str, str], state: str) -> None:
        """``labels`` say of what; that Ray does not forget it, say it again within seconds."""
        seen = self._seen.setdefault(frozenset(labels.items()), set())
        seen.add(state)
        for each in seen:
            self._gauge.set(int(each == state), {**labels, self._label: each})
