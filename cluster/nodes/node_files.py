"""``--nodes FILE``: our own short form, a ``ray up`` file or a KubeRay manifest, told apart by their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml

from cluster.config.config_file import ConfigFile, child
from cluster.nodes.kuberay_nodes import KINDS, kuberay_groups
from cluster.nodes.node_groups import expand
from cluster.nodes.own_nodes import own_groups
from cluster.nodes.ray_up_nodes import ray_up_groups
from models.errors import ConfigError
from models.hardware import Node

_FORMS = (
    "`nodes:` with a list, a `ray up` file with `available_node_types:`, or a Kubernetes manifest of kind "
    + ", ".join(KINDS)
)


def read_nodes_file(path: Path) -> tuple[Node, ...]:
    """The nodes that the file describes, at the most that they may scale to.

    A manifest may hold other documents beside the one of a Ray cluster. ConfigError with file, place and value.
    """
    text = _read(path)
    found = [document for document in _documents(path, text) if _form(document) is not None]
    if len(found) != 1:
        raise ConfigError(f"{path} describes {len(found)} clusters, not one", remedy=f"give a file with {_FORMS}")
    (document,) = found
    match _form(document):
        case "kuberay":
            return expand(kuberay_groups(str(path), document))
        case "ray up, local":
            return expand(own_groups(str(path), ConfigFile({"nodes": _local_nodes(document)}, None)))
        case "ray up":
            return expand(ray_up_groups(str(path), document))
        case _:
            return expand(own_groups(str(path), ConfigFile.parse(text)))


def _form(document: object) -> Literal["own", "ray up", "ray up, local", "kuberay"] | None:
    """By its shape; None when it is not about nodes."""
    if child(document, "nodes") is not None:
        return "own"
    if _local_nodes(document) is not None:
        return "ray up, local"
    if child(document, "available_node_types") is not None:
        return "ray up"
    return "kuberay" if child(document, "kind") in KINDS else None


def _local_nodes(document: object) -> object:
    """The machines of a `ray up` file for machines that are there, which has no node types: in our own form, where
    `stowage cluster render onprem` writes them.
    """
    is_local = child(child(document, "provider"), "type") == "local"
    return child(child(document, "metadata"), "nodes") if is_local else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error}", remedy="give the path of a YAML file") from error


def _documents(path: Path, text: str) -> list[object]:
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", remedy=f"give a file with {_FORMS}") from error
