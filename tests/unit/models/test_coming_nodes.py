from __future__ import annotations

import pytest

from models.coming_nodes import NodeGroup, coming_nodes, dump_groups
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Node

GIB = 1 << 30
CPU = NodeGroup(name="cpu", max_nodes=3, num_cpus=7, memory_bytes=20 * GIB)
L4 = NodeGroup(name="l4", max_nodes=1, num_cpus=8, memory_bytes=GIB, device="l4-24gb", num_devices=1)
TEXT = dump_groups([CPU, L4])


def live(group: str) -> Node:
    return Node("10.0.0.7", 7, 20 * GIB, labels={"stowage.io/group": group})


def test_without_groups_nothing_is_to_come() -> None:
    assert coming_nodes(None, [live("cpu")]) == coming_nodes("", []) == ()


def test_a_group_without_nodes_is_to_come_whole() -> None:
    *cpus, l4 = coming_nodes(TEXT, [])
    assert [node.name for node in cpus] == ["cpu-to-come-0", "cpu-to-come-1", "cpu-to-come-2"]
    assert (l4.gpu, l4.num_devices, l4.num_cpus, l4.memory_bytes) == (device_named("l4-24gb"), 1, 8, GIB)
    assert l4.labels == {"stowage.io/group": "l4", "stowage.io/device": "l4-24gb"}


def test_nodes_that_are_there_do_not_come_again() -> None:
    found = coming_nodes(TEXT, [live("cpu"), live("cpu"), live("l4"), live("other"), Node("head", 0, GIB)])
    assert [node.name for node in found] == ["cpu-to-come-2"]


@pytest.mark.parametrize(
    "text", ["cpu", "[{}]", '[{"name": "cpu", "max_nodes": 1, "num_cpus": 1, "memory_bytes": 1, "extra": 1}]']
)
def test_what_says_no_groups_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="STOWAGE_NODE_GROUPS is not what it should be"):
        coming_nodes(text, [])


def test_a_device_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="l5"):
        coming_nodes(dump_groups([L4.model_copy(update={"device": "l5"})]), [])
