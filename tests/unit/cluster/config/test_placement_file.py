from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cluster.config.placement_file import with_placements, write_placements
from deployments.args import Place
from models.errors import ConfigError

GPU = Place(node="gpu-0", devices=(0, 3))
CPU = Place(node="cpu-0")

BLOCK = """\
# what is deployed
applications:
  - name: a@1   # the first
    args:
      model: a
      limits:
        max_num_seqs: 8   # enough

  # the second
  - name: b@1
    args: {model: b, limits: {max_num_seqs: 4}}  # short
"""


def test_places_are_written_and_nothing_else_changes() -> None:
    written = with_placements(BLOCK, {("applications", 0): [GPU, CPU], ("applications", 1): [CPU]})
    assert (
        written
        == """\
# what is deployed
applications:
  - name: a@1   # the first
    args:
      model: a
      limits:
        max_num_seqs: 8   # enough
      placement:
        - {node: gpu-0, devices: [0, 3]}
        - {node: cpu-0}

  # the second
  - name: b@1
    args: {model: b, limits: {max_num_seqs: 4}, placement: [{node: cpu-0}]}  # short
"""
    )


def test_places_take_the_place_of_older_ones() -> None:
    once = with_placements(BLOCK, {("applications", 0): [GPU, CPU], ("applications", 1): [CPU]})
    other = with_placements(once, {("applications", 0): [CPU], ("applications", 1): [GPU]})
    assert other == with_placements(BLOCK, {("applications", 0): [CPU], ("applications", 1): [GPU]})


@pytest.mark.parametrize(
    "args",
    [
        "{model: b,}",
        "{\n      model: b,  # with a comment\n    }",
        "\n      model: b\n      source: |\n        file:/x\n\n",
        "\n      placement: [{node: x}]\n      model: b\n",
        "\n      placement:\n        - node: x\n          devices: [0]  # old\n      model: b\n",
        "\n    # indented as little as can be\n     model: b",
        '\n      "model": b\n...\n',
    ],
)
def test_every_style_of_args(tmp_path: Path, args: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"applications:\n  - name: b@1\n    args: {args}")
    before = yaml.safe_load(path.read_text())
    write_placements(path, path, {("applications", 0): [GPU]})
    before["applications"][0]["args"]["placement"] = [{"node": "gpu-0", "devices": [0, 3]}]
    assert yaml.safe_load(path.read_text()) == before


def test_a_node_s_name_that_is_no_plain_yaml_is_quoted() -> None:
    name = "10.0.0.1: #1, {odd}"
    written = yaml.safe_load(with_placements(BLOCK, {("applications", 1): [Place(node=name)]}))
    assert written["applications"][1]["args"]["placement"] == [{"node": name}]


def test_args_that_several_applications_share_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    text = "applications:\n  - {name: a@1, args: &a {model: a}}\n  - {name: b@1, args: *a}\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="anchors or merge keys"):
        write_placements(path, path, {("applications", 0): [GPU]})
    assert path.read_text() == text


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    source, target = tmp_path / "c.yaml", tmp_path / "written.yaml"
    source.write_text(BLOCK)
    target.write_text("old")
    target.chmod(0o600)
    write_placements(source, target, {("applications", 1): [CPU]})
    assert source.read_text() == BLOCK
    assert "placement" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "written.yaml"]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    source = tmp_path / "c.yaml"
    source.write_text(BLOCK)
    with pytest.raises(ConfigError, match="absent"):
        write_placements(source, tmp_path / "absent" / "c.yaml", {("applications", 1): [CPU]})
