from __future__ import annotations

from deployments.metrics.row import GaugeRow
from deployments.metrics.state_gauge import StateGauge
from tests.unit.deployments.metrics.reported import Reported, series

ROW = GaugeRow("stowage_test_state", "for this test", ("model", "state"))


def test_one_state_is_so_and_those_before_are_not_any_more(reported: Reported) -> None:
    gauge = StateGauge(ROW)
    gauge.set({"model": "a"}, "open")
    gauge.set({"model": "b"}, "closed")
    assert reported.gauges == {
        series(ROW.name, model="a", state="open"): 1,
        series(ROW.name, model="b", state="closed"): 1,
    }
    gauge.set({"model": "a"}, "closed")
    assert reported.gauges == {
        series(ROW.name, model="a", state="open"): 0,
        series(ROW.name, model="a", state="closed"): 1,
        series(ROW.name, model="b", state="closed"): 1,
    }
