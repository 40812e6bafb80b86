"""What Ray says of the node that this replica is on, and of what it holds there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray

from deployments.live_nodes import live_nodes
from models.nodes import NODE_ID_LABEL


@dataclass(frozen=True, slots=True)
class ReplicaNode:
    """``name`` is the node's in plans, ``node_id`` Ray's; ``folder`` is one for all its processes, and local."""

    name: str
    node_id: str
    folder: Path


def this_node() -> ReplicaNode:
    """ConfigError as ``read_nodes`` raises it."""
    node_id = ray.get_runtime_context().get_node_id()
    name = next(node.name for node in live_nodes() if node.labels[NODE_ID_LABEL] == node_id)
    return ReplicaNode(name, node_id, Path(tempfile.gettempdir()) / f"stowage-{os.getuid()}")


def reserved_resources() -> Mapping[str, float]:
    """What Ray has reserved for this replica, by Ray's names; ``memory`` in bytes."""
    context = ray.get_runtime_context()
    reserved: Mapping[str, float] = context.get_assigned_resources()  # type: ignore[no-untyped-call]
    return reserved
