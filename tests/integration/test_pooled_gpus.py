"""A node that counts its GPUs as one pool takes every replica that is planned, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gpu_nodes import SHARES, gpu_nodes, leaves_sockets_open, slots, start_model, where

pytestmark = leaves_sockets_open


@pytest.fixture(scope="module")
def pooled_node() -> Iterator[None]:
    with gpu_nodes("a", raylet_environment={"RAY_predefined_unit_instance_resources": ""}):
        yield


def test_a_node_that_counts_its_gpus_as_one_takes_all_that_is_planned(pooled_node: None) -> None:
    started = {start_model(name, percent, ("a", gpu)): gpu for name, (percent, gpu) in SHARES.items()}
    assert {name: slots(where(name, 1)) for name in started} == {
        name: [("a", gpu)] for name, gpu in started.items()
    }
