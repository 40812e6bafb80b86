"""What Ray is told that a node has. Pure."""

from __future__ import annotations

import math

from cluster.provision.spec import Group
from models.coming_nodes import NodeGroup
from models.hardware import RAY_MEMORY_SHARE

_GIB = 1024**3


def ray_resources(group: Group) -> dict[str, int]:
    """Ray's resources of one node of the group: alike, whichever of its machines the node is.

    The rest of the memory is for Ray's object store, as Ray itself divides it.
    """
    gpus = {"GPU": group.gpus} if group.gpus else {}
    return {"CPU": group.cpus, "memory": int(group.memory * RAY_MEMORY_SHARE), **gpus}


def node_group(group: Group) -> NodeGroup:
    """As the builders of applications know the group before it has nodes."""
    return NodeGroup(
        name=group.name,
        max_nodes=group.max_nodes,
        num_cpus=group.cpus,
        memory_bytes=ray_resources(group)["memory"],
        device=group.accelerator,
        num_devices=group.gpus,
        labels=group.labels,
    )


def disk_gib(num_bytes: int) -> int:
    """Whole GiB, as clouds count disks."""
    return math.ceil(num_bytes / _GIB)
