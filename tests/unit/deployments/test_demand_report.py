"""What a router tells, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from deployments import demand_report
from deployments.demand_report import DemandReport
from deployments.scaling.demand import RouterDemand, VersionDemand, load_demand
from tests.unit.deployments.clocks import Clock
from tests.unit.deployments.planes import eventually


@dataclass
class Kv:
    told: list[RouterDemand | None] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    error: Exception | None = None
    num_tries: int = 0

    def put_demand(self, router: str, value: bytes) -> None:
        self.num_tries += 1
        if self.error is not None:
            raise self.error
        assert router == "r"
        self.told.append(load_demand(value))

    def drop_demand(self, router: str) -> None:
        self.dropped.append(router)


class Rig:
    def __init__(self) -> None:
        self.kv = Kv()
        self.clock = Clock()
        self.demand: dict[str, VersionDemand] = {}
        self.num_looks = 0
        self.report = DemandReport("r", self.kv, self._look, self.clock)
        self.task = asyncio.create_task(self.report.run())

    async def beat(self, seconds: float = 1.0) -> None:
        """Time passes, and it looks: twice, so that all that the first look has led to is done."""
        self.clock.now += seconds
        for _ in range(2):
            num_looks = self.num_looks
            self.report.ring()
            await eventually(lambda: self.num_looks > num_looks)  # noqa: B023

    def _look(self) -> dict[str, VersionDemand]:
        self.num_looks += 1
        return dict(self.demand)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(autouse=True)
def never_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand_report, "_PERIOD_S", 60.0)


async def test_only_news_are_told_and_a_sign_of_life() -> None:
    rig = Rig()
    await eventually(lambda: len(rig.kv.told) == 1)
    rig.demand = {"m@1": VersionDemand(num_waiting=1)}
    await rig.beat()
    await rig.beat()
    assert [told.versions if told else None for told in rig.kv.told] == [{}, rig.demand]
    await rig.beat(5)
    assert [told.beat if told else None for told in rig.kv.told] == [1, 2, 3]
    await rig.stop()


async def test_a_version_that_is_quiet_is_left_out() -> None:
    rig = Rig()
    rig.demand = {"m@1": VersionDemand(num_arrived=3)}
    await eventually(lambda: len(rig.kv.told) == 1)
    await rig.beat(59)
    await rig.beat(2)
    assert [bool(told and told.versions) for told in rig.kv.told] == [True, True, False]
    rig.demand = {"m@1": VersionDemand(num_arrived=4)}
    await rig.beat()
    assert rig.kv.told[-1] == RouterDemand(4, rig.demand)
    await rig.stop()


async def test_a_store_that_is_away_is_told_of_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.kv.error = ConnectionError("away")
    for _ in range(3):
        await rig.beat()
    assert (rig.kv.num_tries > 3, len(caplog.records)) == (True, 1)
    rig.kv.error = None
    await rig.beat()
    assert len(rig.kv.told) == 1
    await rig.stop()


async def test_nothing_is_left_of_a_router_that_ends() -> None:
    rig = Rig()
    await eventually(lambda: len(rig.kv.told) == 1)
    await rig.stop()
    assert rig.kv.dropped == ["r"]
