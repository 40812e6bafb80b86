from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cluster.config.config_file import ConfigFile
from cluster.provision.spec_file import check_spec, load_spec
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import RAY_MEMORY_SHARE
from tests.unit.cluster.provision.specs import COMMITTED, Changes, committed, problems_with, written
from tests.unit.source_tree import ROOT

L4 = ("groups", 1)
GIB = 1024**3


def test_the_committed_specification() -> None:
    spec = committed()
    assert [group.name for group in spec.groups] == ["cpu", "l4", "a100", "h100"]
    assert spec.group("l4").device == device_named("l4-24gb")
    assert spec.group("l4").node_labels == {"stowage.io/group": "l4", "stowage.io/device": "l4-24gb"}
    assert spec.group("cpu").node_labels == {"stowage.io/group": "cpu"}
    assert RAY_MEMORY_SHARE * spec.group("cpu").memory > 16 * GIB  # room for models on CPUs


def test_ray_is_that_of_the_constraints() -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert committed().ray_version == pinned[1]


def test_an_image_by_tag_and_by_digest() -> None:
    image = committed().image
    assert image.reference(gpu=False) == "registry.example.com/stowage:0.1.0-cpu"
    digest = f"sha256:{'0' * 64}"
    assert image.model_copy(update={"gpu": digest}).reference(gpu=True) == f"{image.repository}@{digest}"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({("nam",): "x"}, "nam: unknown field 'nam'; did you mean 'name'?"),
        ({("ray_version",): "2.9.0"}, "ray_version: this Stowage runs on Ray 2.60.0, not 2.9.0"),
        ({("image", "cpu"): "latest"}, "image.cpu: 'latest' is another image tomorrow: give a version"),
        ({(*L4, "name"): "cpu"}, "groups[1].name: 'cpu' is taken by another group"),
        ({(*L4, "name"): "head"}, "groups[1].name: 'head' is the head's"),
        ({(*L4, "accelerator"): "l4-24g"}, "groups[1].accelerator: device is 'l4-24g', which no device"),
        (
            {(*L4, "gpus"): 0},
            "groups[1].accelerator: l4 has accelerator l4-24gb and gpus 0: give both, or neither",
        ),
        ({(*L4, "accelerator"): None}, "groups[1].gpus: l4 has accelerator None and gpus 1: give both"),
        ({(*L4, "min_nodes"): 5}, "groups[1].min_nodes: l4 has min_nodes 5 and max_nodes 4: swap them"),
        ({(*L4, "max_nodes"): 12}, "groups[1].max_nodes: l4 may have 12 nodes, but max_workers allows"),
        (
            {("max_workers",): 10},
            "max_workers: 10 is less than the 11 nodes that the groups may have (4 cpu + 4 l4",
        ),
        (
            {(*L4, "markets"): ["spot"], (*L4, "min_nodes"): 2},
            "groups[1].markets: l4 is to have 2 nodes at any time, and spot nodes can be taken away at any time",
        ),
        ({(*L4, "markets"): ["spot", "spot"]}, "groups[1].markets: ['spot', 'spot'] names one market twice"),
        (
            {(*L4, "markets"): ["cheap"]},
            "groups[1].markets[0]: Input should be 'on-demand' or 'spot', not 'cheap'",
        ),
        (
            {(*L4, "labels"): {"stowage.io/device": "t4-16gb"}},
            "groups[1].labels: labels stowage.io/device are set",
        ),
        ({(*L4, "labels"): {"ray.io/node-id": "1"}}, "groups[1].labels: labels ray.io/node-id are set"),
        ({(*L4, "labels"): {"rack": "b 7"}}, "groups[1].labels: rack=b 7 is no label of Ray: both are letters"),
        ({(*L4, "labels"): {"a/b/c": "x"}}, "groups[1].labels: a/b/c=x is no label of Ray"),
        ({(*L4, "labels"): {"stowage.io/node": "a"}}, "groups[1].labels: stowage.io/node names one node, and l4"),
    ],
)
def test_what_is_wrong_with_the_groups_is_said(changes: Changes, problem: str) -> None:
    assert any(each.startswith(problem) for each in problems_with(changes)), problems_with(changes)


TYPES = ("aws", "instance_types")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {(*TYPES, "l4"): None},
            "aws.instance_types: group l4 has no instance types here: list them, or write []",
        ),
        ({(*TYPES, "t4"): ["g4dn.xlarge"]}, "aws.instance_types.t4: 't4' is no group of this cluster"),
        ({(*TYPES, "l4"): ["g6.2xlarg"]}, "aws.instance_types.l4[0]: 'g6.2xlarg' is no instance type of aws"),
        ({(*TYPES, "l4"): ["g2-standard-8"]}, "aws.instance_types.l4[0]: 'g2-standard-8' is no instance type of"),
        (
            {(*TYPES, "l4"): ["g5.2xlarge"]},
            "aws.instance_types.l4[0]: g5.2xlarge has 1 x a10g-24gb, but the nodes here are to have 1 x l4-24gb",
        ),
        (
            {(*TYPES, "l4"): ["g6.12xlarge"]},
            "aws.instance_types.l4[0]: g6.12xlarge has 4 x l4-24gb, but the nodes",
        ),
        (
            {(*TYPES, "l4"): ["m7i.2xlarge"]},
            "aws.instance_types.l4[0]: m7i.2xlarge has no GPU, but the nodes here",
        ),
        (
            {(*TYPES, "cpu"): ["g6.2xlarge"]},
            "aws.instance_types.cpu[0]: g6.2xlarge has 1 x l4-24gb, but the nodes",
        ),
        (
            {(*TYPES, "l4"): ["g6.xlarge"]},
            "aws.instance_types.l4[0]: g6.xlarge has 4 CPUs and 16 GiB, less than the 7 CPUs and 28.0GiB of",
        ),
        ({(*TYPES, "l4"): ["g6.2xlarge"] * 2}, "aws.instance_types.l4: ['g6.2xlarge', 'g6.2xlarge'] names one"),
        (
            {("aws", "head"): "g6.xlarge"},
            "aws.head: g6.xlarge has 1 x l4-24gb, but the nodes here are to have none",
        ),
        (
            {TYPES: {"cpu": [], "l4": [], "a100": [], "h100": []}},
            "aws.instance_types: no group has a machine here",
        ),
        ({("aws", "zones"): ["eu-west-1a"]}, "aws: zones eu-west-1a are not in region us-west-2"),
        ({("aws", "key_name"): "mine"}, "aws: key_name and ssh_private_key belong together"),
        ({("aws", "store"): "models"}, "aws.store: 'models' is no bucket"),
        ({("gcp", "zone"): "us-east1-b"}, "gcp: zone us-east1-b is not in region us-central1"),
        (
            {
                ("gcp", "instance_types", "l4"): ["n1-standard-8"],
                ("gcp", "accelerators"): {"l4": "nvidia-tesla-t4"},
            },
            "gcp.instance_types.l4[0]: n1-standard-8 has 1 x t4-16gb, but the nodes here are to have 1 x l4-24gb",
        ),
        ({("azure", "ssh_public_key"): "k"}, "azure: ssh_private_key and ssh_public_key belong together"),
        ({("azure", "head"): "standard_d4s_v5"}, "azure.head: 'standard_d4s_v5' is no instance type of azure"),
        ({("onprem", "workers", 0, "group"): "t4"}, "onprem.workers[0].group: 't4' is no group of this cluster"),
        ({("onprem", "workers", 0, "name"): "l4-0"}, "onprem.workers[0].name: 'l4-0' is given 2 times"),
        ({("onprem", "workers", 0, "address"): "10.0.0.10"}, "onprem.workers[0].address: '10.0.0.10' is given 2"),
        ({("onprem", "workers", 0, "group"): "h100"}, "onprem.workers: 2 machines are of group h100, which has"),
        ({("kuberay", "node_selectors", "t4"): {}}, "kuberay.node_selectors.t4: 't4' is no group of this cluster"),
    ],
)
def test_what_is_wrong_with_a_provider_is_said(changes: Changes, problem: str) -> None:
    assert any(each.startswith(problem) for each in problems_with(changes)), problems_with(changes)


def test_gpus_may_be_added_to_a_machine_of_google_cloud() -> None:
    machines: Changes = {
        ("gcp", "instance_types", "l4"): ["n1-standard-8"],
        ("gcp", "accelerators"): {"l4": "nvidia-l4"},
    }
    assert problems_with(machines) == []


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, {(*L4, "min_nodes"): 5, ("max_workers",): 3})
    lines = path.read_text().splitlines()
    with pytest.raises(ConfigError) as caught:
        load_spec(path)
    found = re.findall(rf"^{re.escape(str(path))}:(\d+): (\S+): ", str(caught.value), re.MULTILINE)
    assert len(found) >= 3
    for line, place in found:
        assert place.rpartition(".")[2] in lines[int(line) - 1]


@pytest.mark.parametrize("text", ["", "[", "name: a\nname: b", "- 1"])
def test_what_is_no_specification_is_refused(text: str) -> None:
    assert check_spec(ConfigFile.parse(text))


def test_the_committed_file_is_yaml_without_surprises() -> None:
    assert isinstance(yaml.safe_load(COMMITTED.read_text())["azure"]["zones"][0], str)
