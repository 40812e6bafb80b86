"""How a router's report travels."""

from __future__ import annotations

import json

import pytest

from deployments.scaling.demand import RouterDemand, VersionDemand, dump_demand, load_demand

DEMAND = RouterDemand(
    7,
    {
        "m@1": VersionDemand(
            num_waiting=3, num_waking=2, waiting_tokens=120.5, oldest_wait_s=1.25, num_under_way=4, num_arrived=9,
            arrived_tokens=360.0,
        ),
        "n@1": VersionDemand(),
    },
)  # fmt: skip


def test_what_is_told_is_heard() -> None:
    assert load_demand(dump_demand(DEMAND)) == DEMAND


def test_two_hundred_versions_are_few_bytes() -> None:
    many = RouterDemand(1, {f"model-{number}@1": VersionDemand(num_arrived=10**6) for number in range(200)})
    assert len(dump_demand(many)) < 12_000


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'"words"',
        b'{"release": 2, "beat": 1, "versions": {}}',
        b'{"release": 1, "beat": 1, "versions": {"m@1": [1, 2]}}',
        b'{"release": 1, "beat": 1, "versions": {"m@1": 5}}',
        b'{"release": 1, "beat": null, "versions": {}}',
        b"\xff",
    ],
)
def test_the_words_of_another_release_are_none(value: bytes) -> None:
    assert load_demand(value) is None


def test_it_is_plain_json() -> None:
    assert json.loads(dump_demand(RouterDemand(1))) == {"release": 1, "beat": 1, "versions": {}}
