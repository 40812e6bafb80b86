from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from cluster.nodes.node_files import read_nodes_file
from cluster.nodes.own_nodes import OwnNode
from models.devices import device_named
from models.errors import ConfigError
from tests.markdown import blocks
from tests.unit.source_tree import ROOT

GIB = 1024**3
OWN = Path(__file__).parent / "data" / "nodes.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "nodes.yaml"
    path.write_text(text)
    return path


def test_our_own_form() -> None:
    cpu, first, second = read_nodes_file(OWN)
    assert (cpu.name, cpu.gpu, cpu.num_devices, cpu.price_per_hour) == ("cpu", None, 0, None)
    assert (cpu.memory_bytes, cpu.num_cpus, cpu.group) == (56 * GIB, 16, "cpu")
    assert (first.name, second.name, first.group) == ("gpu-0", "gpu-1", "gpu")
    assert (first.gpu, first.num_devices) == (device_named("h100-80gb"), 8)
    assert (first.memory_bytes, first.num_cpus, first.price_per_hour) == (900 * GIB, 96, 39.8)


def test_the_documented_example_is_this_one() -> None:
    (block,) = blocks((ROOT / "docs" / "hardware.md").read_text(), "yml")
    assert yaml.safe_load(block.text) == yaml.safe_load(OWN.read_text())


def test_the_documented_fields_are_those_of_the_form() -> None:
    text = (ROOT / "docs" / "hardware.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (required|none|\d+) \|", text, re.MULTILINE))
    defaults = {None: "none", PydanticUndefined: "required"}
    fields = {name: defaults.get(info.default) or str(info.default) for name, info in OwnNode.model_fields.items()}
    assert documented == fields


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{name: a, num_cpus: 1}", r"nodes\[0\].memory: this field is required"),
        ("{name: a, num_cpus: 1, memory: lots}", r"nodes\[0\].memory: .*lots"),
        ("{name: a, num_cpus: 0, memory: 1GiB}", r"nodes\[0\].num_cpus: .*greater than 0, not 0"),
        (
            "{name: a, num_cpus: 1, memory: 1GiB, devise: l4-24gb}",
            r"unknown field 'devise'; did you mean 'device'",
        ),
        ("{name: a, num_cpus: 1, memory: 1GiB, device: l4}", r"nodes\[0\].device: .*'l4'.*l4-24gb"),
        ("{name: a, num_cpus: 1, memory: 1GiB, num_devices: 2}", r"num_devices is 2, but device does not say"),
        ("{name: a b, num_cpus: 1, memory: 1GiB}", r"nodes\[0\].name: .*'a b'"),
        ("{name: a, name: b, num_cpus: 1, memory: 1GiB}", r"key 'name' is given twice"),
    ],
)
def test_a_mistake_in_our_form_is_named_with_its_line(tmp_path: Path, entry: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read_nodes_file(written(tmp_path, f"nodes:\n  - {entry}\n"))
    assert "nodes.yaml:2: " in caught.value.message


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = "nodes:\n  - {name: a, num_cpus: 1, memory: x}\n  - {name: b, num_cpus: -1, memory: 1GiB}\n"
    with pytest.raises(ConfigError, match=r"(?s)nodes.yaml:2: .*nodes.yaml:3: "):
        read_nodes_file(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "describes 0 clusters"),
        ("just words", "describes 0 clusters"),
        ("kind: Deployment\nspec: {}\n", "describes 0 clusters"),
        ("nodes: [{name: a, num_cpus: 1, memory: 1}]\n---\nnodes: []\n", "describes 2 clusters"),
        ("a: [", "is not YAML"),
        ("nodes: []", "there is no node"),
        ("nodes: {}", r"nodes.yaml:1: nodes: .*tuple, not \{\}"),
        ("nodes: [{name: a, count: 0, num_cpus: 1, memory: 1}]", "there is no node"),
    ],
)
def test_a_file_that_describes_no_cluster_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_nodes_file(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read '.*absent.yaml'"):
        read_nodes_file(tmp_path / "absent.yaml")


def test_a_name_may_be_given_only_once(tmp_path: Path) -> None:
    text = "nodes: [{name: a-0, num_cpus: 1, memory: 1}, {name: a, count: 2, num_cpus: 1, memory: 1}]"
    with pytest.raises(ConfigError, match="2 nodes are called 'a-0'"):
        read_nodes_file(written(tmp_path, text))
