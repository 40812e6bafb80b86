"""What was said last is said again, so that Ray does not forget it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from ray.util.metrics import Gauge

from deployments.metrics.lasting_gauge import LastingGauge, Series
from deployments.metrics.row import GaugeRow

ROW = GaugeRow("stowage_test_lasting", "for this test", ("model", "state"))

Said = tuple[float, dict[str, str]]


class Told:
    """What Ray's own gauge, which checks the labels, was given."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self._more = threading.Condition()

    def add(self, value: float, labels: dict[str, str]) -> None:
        with self._more:
            self.said.append((value, labels))
            self._more.notify()

    def wait_for(self, said: Said, times: int) -> bool:
        with self._more:
            return self._more.wait_for(lambda: self.said.count(said) >= times, timeout=10)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told()
    set_gauge = Gauge.set

    def spy(gauge: Gauge, value: float, tags: dict[str, str]) -> None:
        set_gauge(gauge, value, tags)
        found.add(value, tags)

    monkeypatch.setattr(Gauge, "set", spy)
    return found


@pytest.fixture
def gauge(told: Told) -> Iterator[LastingGauge]:
    lasting = LastingGauge(ROW, {"model": "m"}, period_s=0.01)
    yield lasting
    lasting.close()


def test_the_last_value_is_set_again_and_again(gauge: LastingGauge, told: Told) -> None:
    gauge.set(1, {"state": "waiting"})
    assert told.wait_for((1, {"state": "waiting"}), times=3)
    gauge.set(1, {"state": "loading"})
    num_waiting = told.said.count((1, {"state": "waiting"}))
    assert told.wait_for((1, {"state": "loading"}), times=3)
    assert told.said.count((1, {"state": "waiting"})) == num_waiting


def test_several_series_last_together(gauge: LastingGauge, told: Told) -> None:
    gauge.set_all([Series(2, {"state": "waiting"}), Series(3, {"state": "loading"})])
    assert told.wait_for((2, {"state": "waiting"}), times=2)
    assert told.wait_for((3, {"state": "loading"}), times=2)


def test_nothing_is_said_before_the_first_value_and_nothing_again_after_the_end(
    gauge: LastingGauge, told: Told
) -> None:
    assert told.said == []
    gauge.close()
    gauge.set(0, {"state": "loading"})
    for thread in threading.enumerate():
        if thread.name == "stowage_test_lasting":
            thread.join(10)
    assert told.said == [(0, {"state": "loading"})]
