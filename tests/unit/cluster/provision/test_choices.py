from __future__ import annotations

import logging
from typing import Any

import pytest

from cluster.provision.choices import configurations, start_each

SPOT = {"InstanceType": "small", "InstanceMarketOptions": {"MarketType": "spot"}}
ON_DEMAND = {"InstanceType": "large"}
CONFIG = {**SPOT, "ImageId": "i", "choices": [SPOT, ON_DEMAND]}


class Cloud:
    """Has as many machines of each type as it is told; counts what it is asked for."""

    def __init__(self, **stock: int) -> None:
        self.stock = stock
        self.asked: list[str] = []

    def start(self, configuration: dict[str, object]) -> dict[str, Any]:
        kind = str(configuration["InstanceType"])
        self.asked.append(kind)
        if not self.stock.get(kind):
            raise RuntimeError(f"no {kind} left")
        self.stock[kind] -= 1
        return {f"node-{len(self.asked)}": configuration}


def test_each_choice_is_a_whole_configuration() -> None:
    assert configurations(CONFIG) == [{**SPOT, "ImageId": "i"}, {**ON_DEMAND, "ImageId": "i"}]


def test_without_choices_there_is_one() -> None:
    assert configurations(SPOT) == [SPOT]


def test_what_ray_adds_is_in_each_of_them_and_what_only_the_first_has_is_not() -> None:
    first, second = {"arm": {"size": 1, "priority": "Spot"}}, {"arm": {"size": 2}}
    config = {"arm": {"size": 1, "priority": "Spot", "image": "i", "key": "added"}, "choices": [first, second]}
    assert configurations(config) == [
        {"arm": {"size": 1, "priority": "Spot", "image": "i", "key": "added"}},
        {"arm": {"size": 2, "image": "i", "key": "added"}},
    ]


def test_choices_share_nothing_that_can_be_changed() -> None:
    first, second = configurations({"tags": ["a"], "choices": [{}, {}]})
    assert first == second
    assert first["tags"] is not second["tags"]


def test_the_preferred_machine_is_asked_for_first() -> None:
    cloud = Cloud(small=3, large=3)
    assert len(start_each(CONFIG, 2, cloud.start)) == 2
    assert cloud.asked == ["small", "small"]


def test_what_is_refused_is_bought_otherwise_node_by_node(caplog: pytest.LogCaptureFixture) -> None:
    cloud = Cloud(small=1, large=3)
    with caplog.at_level(logging.WARNING):
        assert len(start_each(CONFIG, 3, cloud.start)) == 3
    assert cloud.asked == ["small", "small", "large", "small", "large"]
    assert "InstanceType small" in caplog.text
    assert "no small left" in caplog.text


def test_when_all_are_refused_the_last_reason_is_raised() -> None:
    with pytest.raises(RuntimeError, match="no large left"):
        start_each(CONFIG, 1, Cloud().start)


def test_a_provider_that_names_no_nodes() -> None:
    assert start_each(CONFIG, 2, lambda _configuration: None) == {}
