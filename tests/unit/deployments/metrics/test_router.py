"""How a router stands, as gauges."""

from __future__ import annotations

from dataclasses import replace

from deployments.dataplane.door import Condition, Trouble
from deployments.dataplane.gate import LaneView
from deployments.dataplane.operations import Queue
from deployments.limits.allowance import Standing
from deployments.limits.limit_set import Counter, LimitName, ScopeKind
from deployments.metrics import router_rows as rows
from deployments.metrics.calls import CallMetrics
from deployments.metrics.router import RouterMetrics, RouterView
from deployments.routing.breaker import BreakerState
from deployments.routing.rollout import RolloutPlan, RolloutState, begin
from models.types import VersionId
from tests.unit.deployments.live_models import state
from tests.unit.deployments.metrics.reported import Reported, series

M1, M2 = VersionId("m", "1"), VersionId("m", "2")
VERSION = {"model": "m", "version": "1"}
NOTHING = RouterView((), {}, {}, {}, {}, {}, {}, (), Condition(), (), {})


def report(view: RouterView, before: RouterView | None = None) -> None:
    metrics = RouterMetrics(CallMetrics())
    if before is not None:
        metrics.report(before)
    metrics.report(view)


def test_each_version_has_its_status_breaker_and_queue(reported: Reported) -> None:
    view = replace(
        NOTHING,
        states=[replace(state("m@1"), num_replicas=2)],
        queues={M1: Queue(LaneView(10, 4, 3), 5)},
        streams={M1: 2},
        breakers={M1: BreakerState.OPEN},
        openings={M1: 1},
    )
    report(view)
    for row, value in [
        (rows.PLACES, 10),
        (rows.UNDER_WAY, 4),
        (rows.WAITING, 3),
        (rows.HELD, 5),
        (rows.OPEN_STREAMS, 2),
        (rows.MODEL_REPLICAS, 2),
    ]:
        assert reported.gauges[series(row.name, **VERSION)] == value
    assert reported.gauges[series(rows.MODEL_STATUS.name, **VERSION, status="ready")] == 1
    assert reported.gauges[series(rows.BREAKER_STATE.name, **VERSION, state="open")] == 1
    assert reported.counters == {
        series(rows.BREAKER_OPENINGS.name, **VERSION): 1,
        series(rows.LOST.name): 0,
    }


def test_a_version_that_nobody_asked_for_is_there_too(reported: Reported) -> None:
    report(replace(NOTHING, states=[state("m@1", "asleep")]))
    assert reported.gauges[series(rows.BREAKER_STATE.name, **VERSION, state="closed")] == 1
    assert reported.counters[series(rows.BREAKER_OPENINGS.name, **VERSION)] == 0


def test_what_happened_between_two_looks_is_counted_once(reported: Reported) -> None:
    before = replace(NOTHING, states=[state("m@1")], retry_budgets={"m": 0.5}, condition=Condition(num_lost=1))
    after = replace(before, openings={M1: 2}, retries_refused={"m": 3}, condition=Condition(num_lost=4))
    report(after, before)
    assert reported.counters == {
        series(rows.BREAKER_OPENINGS.name, **VERSION): 2,
        series(rows.RETRIES_REFUSED.name, route="m"): 3,
        series(rows.LOST.name): 4,
    }
    assert reported.gauges[series(rows.RETRY_BUDGET.name, route="m")] == 0.5


def test_what_calls_have_added_is_told(reported: Reported) -> None:
    metrics = CallMetrics()
    metrics.woke(M1, None)
    RouterMetrics(metrics).report(replace(NOTHING, added=metrics.counts.take()))
    assert reported.counters[series(rows.COLD_STARTS.name, **VERSION, result="gave_up")] == 1


def test_limits_of_keys_have_no_series(reported: Reported) -> None:
    standings = [
        Standing(Counter(kind, "acme", LimitName.TOKENS_PER_DAY, 0), 0.75, 0.1)
        for kind in (ScopeKind.TENANT, ScopeKind.KEY)
    ]
    report(replace(NOTHING, standings=standings))
    labels = {"scope": "tenant", "name": "acme", "limit": "tokens_per_day"}
    used = {found: value for found, value in reported.gauges.items() if "_limit_" in found[0]}
    assert used == {
        series(rows.LIMIT_USED.name, **labels): 0.75,
        series(rows.LIMIT_LEASED.name, **labels): 0.1,
    }


def test_the_books_and_what_they_lack(reported: Reported) -> None:
    trouble = Trouble(0, "gone")
    report(replace(NOTHING, condition=Condition(trouble, trouble, uncounted_bytes=7, num_unwritten=3)))
    assert reported.gauges == {
        series(rows.STATE_UP.name): 0,
        series(rows.JOURNAL_UP.name): 0,
        series(rows.UNCOUNTED.name): 7,
        series(rows.UNWRITTEN.name): 3,
    }
    report(NOTHING)
    assert reported.gauges[series(rows.STATE_UP.name)] == reported.gauges[series(rows.JOURNAL_UP.name)] == 1


def test_a_rollout_its_step_and_its_shares(reported: Reported) -> None:
    rollout = begin("m", M1, M2, RolloutPlan(steps=(20, 100)), now=0)
    ended = replace(rollout, state=RolloutState.ROLLED_BACK)
    report(replace(NOTHING, rollouts=[ended]), replace(NOTHING, rollouts=[rollout]))
    which = {"route": "m", "old": "m@1", "new": "m@2"}
    assert reported.gauges[series(rows.ROLLOUT_STATE.name, **which, state="running")] == 0
    assert reported.gauges[series(rows.ROLLOUT_STATE.name, **which, state="rolled_back")] == 1
    assert reported.gauges[series(rows.ROLLOUT_STEP.name, **which)] == 1
    assert reported.gauges[series(rows.ROLLOUT_SHARE.name, route="m", model="m", version="1")] == 1
