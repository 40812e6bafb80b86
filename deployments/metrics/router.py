"""How a replica of the router stands, as Ray metrics: looked at every few seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.dataplane.door import Condition
from deployments.dataplane.operations import Queue
from deployments.limits.allowance import Standing
from deployments.limits.limit_set import ScopeKind
from deployments.metrics.calls import CallMetrics
from deployments.metrics.counts import Counts, Key
from deployments.metrics.ray_metrics import make_gauge
from deployments.metrics.router_rows import (
    BREAKER_OPENINGS,
    BREAKER_STATE,
    HELD,
    JOURNAL_UP,
    LIMIT_LEASED,
    LIMIT_USED,
    LOST,
    MODEL_REPLICAS,
    MODEL_STATUS,
    OPEN_STREAMS,
    PLACES,
    RETRIES_REFUSED,
    RETRY_BUDGET,
    ROLLOUT_SHARE,
    ROLLOUT_STATE,
    ROLLOUT_STEP,
    STATE_UP,
    UNCOUNTED,
    UNDER_WAY,
    UNWRITTEN,
    WAITING,
)
from deployments.metrics.state_gauge import StateGauge
from deployments.routing.breaker import BreakerState
from deployments.routing.rollout import WHOLE_PERCENT, Rollout
from deployments.routing.states import ModelState
from models.types import VersionId

_GAUGES = (
    HELD, JOURNAL_UP, LIMIT_LEASED, LIMIT_USED, MODEL_REPLICAS, OPEN_STREAMS, PLACES, RETRY_BUDGET, ROLLOUT_SHARE,
    ROLLOUT_STEP, STATE_UP, UNCOUNTED, UNDER_WAY, UNWRITTEN, WAITING,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RouterView:
    """A replica of the router at one moment. What it counts since its start: ``openings`` of breakers by version,
    ``retries_refused`` by route. ``added``: the calls' counts since the last look.
    """

    states: Sequence[ModelState]
    queues: Mapping[VersionId, Queue]
    streams: Mapping[VersionId, int]
    breakers: Mapping[VersionId, BreakerState]
    openings: Mapping[VersionId, int]
    retry_budgets: Mapping[str, float]
    retries_refused: Mapping[str, int]
    standings: Sequence[Standing]
    condition: Condition
    rollouts: Sequence[Rollout]
    added: Mapping[Key, float]


class RouterMetrics:
    """``report`` takes milliseconds where there are hundreds of models, so it is not for the event loop."""

    def __init__(self, calls: CallMetrics) -> None:
        self._calls = calls
        self._counts = Counts((BREAKER_OPENINGS, LOST, RETRIES_REFUSED))
        self._gauges = {row: make_gauge(row) for row in _GAUGES}
        self._breaker = StateGauge(BREAKER_STATE)
        self._rollout = StateGauge(ROLLOUT_STATE)
        self._status = StateGauge(MODEL_STATUS, "status")

    def report(self, view: RouterView) -> None:
        """Set every gauge, and bring the counters up to date."""
        self._calls.counts.tell(view.added)
        for state in view.states:
            self._report_model(state, view)
        for version, num_open in view.streams.items():
            self._gauges[OPEN_STREAMS].set(num_open, _labels(version))
        for route, used in view.retry_budgets.items():
            self._gauges[RETRY_BUDGET].set(used, {"route": route})
            self._counts.reach(RETRIES_REFUSED, (route,), view.retries_refused.get(route, 0))
        for standing in view.standings:
            self._report_limit(standing)
        self._report_books(view.condition)
        for rollout in view.rollouts:
            self._report_rollout(rollout)

    def _report_model(self, state: ModelState, view: RouterView) -> None:
        labels = _labels(state.id)
        self._status.set(labels, state.status)
        self._breaker.set(labels, view.breakers.get(state.id, BreakerState.CLOSED))
        self._counts.reach(BREAKER_OPENINGS, tuple(labels.values()), view.openings.get(state.id, 0))
        self._gauges[MODEL_REPLICAS].set(state.num_replicas, labels)
        queue = view.queues.get(state.id)
        if queue is not None:
            self._gauges[PLACES].set(queue.lane.num_places, labels)
            self._gauges[UNDER_WAY].set(queue.lane.num_under_way, labels)
            self._gauges[WAITING].set(queue.lane.num_waiting, labels)
            self._gauges[HELD].set(queue.num_held, labels)

    def _report_limit(self, standing: Standing) -> None:
        """Those of keys are as many as there are keys."""
        counter = standing.counter
        if counter.kind is not ScopeKind.KEY:
            labels = {"scope": str(counter.kind), "name": counter.scope, "limit": str(counter.limit)}
            self._gauges[LIMIT_USED].set(standing.used, labels)
            self._gauges[LIMIT_LEASED].set(standing.leased, labels)

    def _report_books(self, condition: Condition) -> None:
        self._gauges[STATE_UP].set(int(condition.state is None))
        self._gauges[JOURNAL_UP].set(int(condition.journal is None))
        self._gauges[UNCOUNTED].set(condition.uncounted_bytes)
        self._gauges[UNWRITTEN].set(condition.num_unwritten)
        self._counts.reach(LOST, (), condition.num_lost)

    def _report_rollout(self, rollout: Rollout) -> None:
        labels = {"route": rollout.route, "old": str(rollout.old), "new": str(rollout.new)}
        self._rollout.set(labels, rollout.state)
        self._gauges[ROLLOUT_STEP].set(rollout.step + 1, labels)
        for version, percent in rollout.weights.items():
            self._gauges[ROLLOUT_SHARE].set(percent / WHOLE_PERCENT, {"route": rollout.route, **_labels(version)})


def _labels(version: VersionId) -> dict[str, str]:
    return {"model": version.name, "version": version.version}
