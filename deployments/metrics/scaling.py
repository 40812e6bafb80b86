"""What was decided about the number of replicas as Ray metrics; Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

import time
from collections.abc import Mapping

from deployments.metrics.controller_rows import (
    SCALING_CAUSE,
    SCALING_CHANGES,
    SCALING_COLD_START,
    SCALING_TARGET,
    SCALING_WISH,
)
from deployments.metrics.ray_metrics import make_counter, make_gauge
from deployments.scaling.decision import Cause, Decision

# Ray exports a value for two of its report intervals, which are 10 s long, after it was set.
_PERIOD_S = 5.0


class ScalingMetrics:
    """Of all versions, from Serve's controller."""

    def __init__(self) -> None:
        self._target, self._wish = make_gauge(SCALING_TARGET), make_gauge(SCALING_WISH)
        self._cause, self._cold_start = make_gauge(SCALING_CAUSE), make_gauge(SCALING_COLD_START)
        self._changes = make_counter(SCALING_CHANGES)
        self._told_at: float | None = None

    def tell(self, decisions: Mapping[str, Decision]) -> None:
        """The last of each application, every few seconds; nothing in between."""
        now = time.monotonic()
        if self._told_at is not None and now - self._told_at < _PERIOD_S:
            return
        self._told_at = now
        for application, decision in decisions.items():
            tags = {"application": application}
            self._target.set(decision.target, tags)
            self._wish.set(decision.wish, tags)
            self._cold_start.set(decision.load.cold_start_s, tags)
            for cause in Cause:
                self._cause.set(int(cause is decision.cause), {**tags, "cause": str(cause)})

    def count(self, application: str, cause: str) -> None:
        """The number of replicas has been changed."""
        self._changes.inc(1, {"application": application, "cause": cause})
