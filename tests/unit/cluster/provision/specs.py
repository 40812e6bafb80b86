"""Specifications for tests: the committed one, and the same with changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import yaml

from cluster.config.config_file import ConfigFile, YamlPath, child
from cluster.provision.spec import ClusterSpec
from cluster.provision.spec_file import check_spec, load_spec
from tests.unit.source_tree import ROOT

COMMITTED = ROOT / "cluster" / "cluster.yaml"
Changes = Mapping[YamlPath, object]


def committed() -> ClusterSpec:
    return load_spec(COMMITTED)


def problems_with(changes: Changes) -> list[str]:
    """``path: message`` of everything that is wrong with the committed specification after ``changes``."""
    return [f"{problem.path}: {problem.message}" for problem in check_spec(ConfigFile.parse(changed(changes)))]


def changed(changes: Changes) -> str:
    """The committed file with values set at paths; None takes a key out of its mapping."""
    document = copy.deepcopy(yaml.safe_load(COMMITTED.read_text()))
    for path, value in changes.items():
        parent: object = document
        for part in path[:-1]:
            parent = child(parent, part)
        if isinstance(parent, dict) and value is None:
            del parent[path[-1]]
        elif isinstance(parent, dict | list):
            parent[path[-1]] = value  # type: ignore[index]
    return yaml.safe_dump(document, sort_keys=False)


def written(folder: Path, changes: Changes) -> Path:
    """The changed specification as a file."""
    path = folder / "cluster.yaml"
    path.write_text(changed(changes))
    return path
