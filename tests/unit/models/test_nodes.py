from __future__ import annotations

from collections.abc import Mapping

import pytest
from ray import _raylet
from ray._common.utils import RESOURCE_CONSTRAINT_PREFIX

from models.devices import device_named
from models.errors import ConfigError
from models.nodes import ACCELERATOR_LABEL, NODE_GROUP_LABEL, NODE_ID_LABEL, RayNode, gpu_of, read_nodes

NO_LABELS: Mapping[str, str] = {}


def ray_node(
    name: str = "10.0.0.1",
    node_id: str = "ab",
    gpus: int = 0,
    labels: Mapping[str, str] = NO_LABELS,
    accelerator_type: str | None = None,
) -> RayNode:
    resources = {"CPU": 4.0, "memory": 7e9, "object_store_memory": 3e9, f"node:{name}": 1.0}
    if gpus:
        resources["GPU"] = gpus
    if accelerator_type is not None:
        resources[f"accelerator_type:{accelerator_type}"] = 1.0
    return RayNode(node_id, name, resources, labels)


def test_the_labels_are_ray_s() -> None:
    ours = (ACCELERATOR_LABEL, NODE_GROUP_LABEL, NODE_ID_LABEL, "accelerator_type:")
    assert ours == (
        *(getattr(_raylet, f"RAY_NODE_{key}_KEY") for key in ("ACCELERATOR_TYPE", "GROUP", "ID")),
        RESOURCE_CONSTRAINT_PREFIX,
    )


def test_a_cpu_node_has_what_ray_offers() -> None:
    (node,) = read_nodes([ray_node(labels={NODE_GROUP_LABEL: "small"})])
    assert (node.name, node.num_cpus, node.memory_bytes) == ("10.0.0.1", 4.0, 7_000_000_000)
    assert (node.gpu, node.num_devices, node.group) == (None, 0, "small")
    assert node.labels[NODE_ID_LABEL] == "ab"
    assert node.stored == frozenset()


def test_a_gpu_is_known_by_its_type_where_one_device_is_of_it() -> None:
    (node,) = read_nodes([ray_node(gpus=4, labels={ACCELERATOR_LABEL: "L4"})])
    assert (node.gpu, node.num_devices) == (device_named("l4-24gb"), 4)


def test_the_resource_says_the_type_as_well_as_the_label() -> None:
    (node,) = read_nodes([ray_node(gpus=1, accelerator_type="H200")])
    assert node.gpu == device_named("h200-141gb")


def test_our_label_goes_before_ray_s_type() -> None:
    (node,) = read_nodes([ray_node(gpus=1, labels={"stowage.io/device": "a100-80gb"}, accelerator_type="A100")])
    assert node.gpu == device_named("a100-80gb")


def test_gpus_can_be_left_alone() -> None:
    (node,) = read_nodes([ray_node(gpus=2, labels={"stowage.io/device": "none"}, accelerator_type="A100")])
    assert (node.gpu, node.num_devices) == (None, 0)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (
            {ACCELERATOR_LABEL: "A100"},
            r"A100, which may be a100-40gb or a100-80gb.*stowage.io/device: a100-40gb or",
        ),
        ({ACCELERATOR_LABEL: "Voodoo2"}, r"Ray calls them Voodoo2 .*docs/hardware.md"),
        ({}, r"node gpu-box is not known: Ray does not say"),
        ({"stowage.io/device": "a100"}, r"stowage.io/device of node gpu-box is 'a100'.*a100-80gb"),
    ],
)
def test_a_gpu_whose_memory_is_not_known_is_refused(labels: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_nodes([ray_node("gpu-box", gpus=1, labels=labels)])


def test_a_type_without_gpus_is_no_gpu() -> None:
    """Ray keeps the accelerator type where ``--num-gpus=0`` hides the cards."""
    assert gpu_of("n", {"CPU": 1.0}, {ACCELERATOR_LABEL: "A100"}) is None
    assert gpu_of("n", {"GPU": 0.0}, {ACCELERATOR_LABEL: "A100"}) is None


def test_nodes_that_ray_calls_the_same_go_by_their_ids() -> None:
    named = ray_node(node_id="cc", labels={"stowage.io/node": "gpu-0"})
    nodes = read_nodes([named, ray_node(node_id="bb"), ray_node("10.0.0.2", "aa")])
    assert [node.name for node in nodes] == ["10.0.0.2", "bb", "gpu-0"]
    assert [node.labels[NODE_ID_LABEL] for node in nodes] == ["aa", "bb", "cc"]


def test_the_order_of_the_records_does_not_matter() -> None:
    records = [ray_node("b", "1"), ray_node("a", "2"), ray_node("c", "3")]
    assert read_nodes(records) == read_nodes(records[::-1])


def test_a_name_may_be_given_only_once() -> None:
    twice = [ray_node(name, name, labels={"stowage.io/node": "gpu-0"}) for name in ("a", "b")]
    with pytest.raises(ConfigError, match=r"2 nodes are called 'gpu-0'"):
        read_nodes(twice)
