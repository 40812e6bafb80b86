from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import validate_config

from cluster.nodes.node_files import read_nodes_file
from cluster.nodes.node_groups import expand
from cluster.nodes.ray_up_nodes import ray_up_groups
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Node

GIB = 1024**3
P4 = "{acceleratorType: a/nvidia-tesla-p4, acceleratorCount: 1}"
AWS = Path(__file__).parent / "data" / "ray_up_aws.yaml"


def cluster(node_types: str, head: str = "head", more: str = "") -> tuple[Node, ...]:
    text = f"head_node_type: {head}\navailable_node_types: {node_types}\n{more}"
    return expand(ray_up_groups("c.yaml", yaml.safe_load(text)))


def test_an_aws_file() -> None:
    first, second, head, on_site = read_nodes_file(AWS)
    assert (head.name, head.num_cpus, head.memory_bytes, head.gpu) == ("head-0", 0, int(16 * GIB * 0.7), None)
    assert (first.name, second.name, first.group) == ("a10g-0", "a10g-1", "a10g")
    assert (first.num_cpus, first.memory_bytes) == (48, int(192 * GIB * 0.7))
    assert (first.gpu, first.num_devices) == (device_named("a10g-24gb"), 4)
    assert first.source == "70% of the memory of g5.12xlarge, as Ray offers it"
    assert (on_site.name, on_site.num_cpus, on_site.memory_bytes) == ("on-site-0", 32, 100_000_000_000)
    assert (on_site.gpu, on_site.num_devices) == (device_named("rtx-4090-24gb"), 2)
    assert on_site.labels["rack"] == "b7"
    assert on_site.source == "resources of the node type"


def test_what_is_written_goes_before_what_is_known() -> None:
    (node,) = cluster(
        "{head: {node_config: {InstanceType: g4dn.12xlarge}, resources: {CPU: 40, GPU: 2},"
        " labels: {stowage.io/device: a10g-24gb}}}"
    )
    assert (node.num_cpus, node.memory_bytes) == (40, int(192 * GIB * 0.7))
    assert (node.gpu, node.num_devices) == (device_named("a10g-24gb"), 2)


def test_workers_are_as_many_as_the_file_allows() -> None:
    worker = "w: {node_config: {machineType: n2-standard-4}"
    head = "head: {node_config: {machineType: n2-standard-2}}"
    assert len(cluster(f"{{{head}, {worker}}}}}", more="max_workers: 5")) == 1 + 5
    assert len(cluster(f"{{{head}, {worker}}}}}")) == 1 + 2  # Ray's default
    assert len(cluster(f"{{{head}, {worker}, max_workers: 3}}}}", more="max_workers: 5")) == 1 + 3
    assert len(cluster(f"{{{head}, {worker}, max_workers: 9}}}}", more="max_workers: 5")) == 1 + 5


NAMED = "{node_config: {InstanceType: g4dn.xlarge}, labels: {stowage.io/node: turing}, max_workers: %d}"
HEAD = "head: {node_config: {InstanceType: m5.large}}"


def test_a_label_names_the_one_node_of_its_type() -> None:
    (head, turing) = cluster(f"{{{HEAD}, gpu: {NAMED % 1}}}")
    assert (turing.name, turing.group, head.name) == ("turing", "gpu", "head-0")
    assert "stowage.io/node" not in head.labels  # the cloud will name it
    with pytest.raises(ConfigError, match="2 nodes are called 'turing'"):
        cluster(f"{{{HEAD}, gpu: {NAMED % 2}}}")


def test_the_head_s_type_may_have_workers_too() -> None:
    assert len(cluster("{head: {node_config: {InstanceType: m5.large}, max_workers: 2}}")) == 1 + 2


def test_a_google_cloud_machine_with_added_gpus() -> None:
    (node,) = cluster(
        "{head: {node_config: {machineType: n1-standard-8, guestAccelerators: ["
        "{acceleratorType: projects/p/zones/z/acceleratorTypes/nvidia-tesla-t4, acceleratorCount: 2}]}}}"
    )
    assert (node.num_cpus, node.gpu, node.num_devices) == (8, device_named("t4-16gb"), 2)


def test_an_azure_machine() -> None:
    (node,) = cluster("{head: {node_config: {azure_arm_parameters: {vmSize: Standard_NC40ads_H100_v5}}}}")
    assert (node.gpu, node.num_devices) == (device_named("h100-94gb"), 1)


@pytest.mark.parametrize(
    ("node_types", "says"),
    [
        (
            "{head: {node_config: {InstanceType: x9.large}}}",
            r"available_node_types.head does not say its CPU and memory, and instance type 'x9.large' is not",
        ),
        ("{head: {resources: {CPU: 1}}}", r"does not say its memory, and instance type None is not known"),
        ("{other: {resources: {CPU: 1, memory: 1}}}", r"head_node_type is 'head'.*write one of other"),
        ("{head: {resources: {CPU: many}}}", r"c.yaml: available_node_types.head.resources.CPU: .*not 'many'"),
        (
            "{head: {resources: {CPU: 1, memory: 1, GPU: 1}}}",
            r"node c.yaml: available_node_types.head is not known: .*label stowage.io/device",
        ),
        (
            "{head: {node_config: {machineType: n1-standard-8, guestAccelerators: [" + P4 + "]}}}",
            r"guestAccelerators are \['a/nvidia-tesla-p4'\].*nvidia-tesla-t4",
        ),
        ("{}", r"available_node_types: .*at least 1 item"),
    ],
)
def test_a_mistake_names_file_place_and_remedy(node_types: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cluster(node_types)


def test_it_must_be_certain_which_workers_there_can_be() -> None:
    machine = "node_config: {InstanceType: m5.large}"
    node_types = f"{{head: {{{machine}}}, a: {{{machine}, max_workers: 2}}, b: {{{machine}, max_workers: 2}}}}"
    with pytest.raises(ConfigError, match=r"max_workers is 3, but the node types allow 2 a \+ 2 b"):
        cluster(node_types, more="max_workers: 3")


def test_ray_itself_takes_the_example() -> None:
    """Ray checks a file after it has filled in ``cluster_synced_files``, and talks to the cloud before that."""
    validate_config({**yaml.safe_load(AWS.read_text()), "cluster_synced_files": []})
