from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.nodes.given import nodes_from_options, this_machine
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import UNBOUNDED_CPUS

GIB = 1024**3
OWN = Path(__file__).parent / "data" / "nodes.yaml"


def test_without_options_it_is_this_machine() -> None:
    (node,) = nodes_from_options()
    assert (node.name, node.gpu, node.num_devices) == ("this-machine", None, 0)
    assert node.num_cpus == os.cpu_count()
    assert 0 < node.memory_bytes < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert "70%" in node.source


def test_a_gpu_is_given_by_its_name() -> None:
    (node,) = nodes_from_options("h100-80gb")
    assert (node.name, node.gpu, node.num_devices) == ("node-0", device_named("h100-80gb"), 1)
    assert node.memory_bytes == pytest.approx(this_machine().memory_bytes, rel=0.2)


def test_nodes_can_be_made_up() -> None:
    nodes = nodes_from_options("a100-80gb", num_devices=8, node_memory=900 * GIB, num_nodes=2)
    assert [(node.name, node.num_devices, node.memory_bytes) for node in nodes] == [
        ("node-0", 8, 900 * GIB),
        ("node-1", 8, 900 * GIB),
    ]
    assert {(node.num_cpus, node.group, node.source) for node in nodes} == {
        (UNBOUNDED_CPUS, "node", "--node-memory")
    }


def test_cpu_nodes_need_no_device() -> None:
    nodes = nodes_from_options(node_memory=GIB, num_nodes=3)
    assert [(node.gpu, node.num_devices) for node in nodes] == [(None, 0)] * 3


def test_a_file_is_read() -> None:
    assert [node.name for node in nodes_from_options(nodes_file=OWN)] == ["cpu", "gpu-0", "gpu-1"]


def test_a_file_and_other_options_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"nodes.yaml is given, and --device, --num-nodes too"):
        nodes_from_options("h100-80gb", num_nodes=2, nodes_file=OWN)


def test_a_number_of_gpus_needs_their_kind() -> None:
    with pytest.raises(ConfigError, match=r"--num-devices is 4, but not of what \(add --device"):
        nodes_from_options(num_devices=4)


def test_an_unknown_device_names_the_option() -> None:
    with pytest.raises(ConfigError, match=r"--device is 'h100'.*h100-80gb"):
        nodes_from_options("h100")
