"""Nodes that an autoscaler may add: plans count on them, for a model is deployed before its node is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Node
from models.manifest import Frozen
from models.nodes import DEVICE_LABEL, GROUP_LABEL

# In the environment of `ray start` on every node: the groups of the cluster, as ``dump_groups`` writes them.
GROUPS_VARIABLE = "STOWAGE_NODE_GROUPS"


class NodeGroup(Frozen):
    """Nodes alike, of which there may be up to ``max_nodes``: what Ray offers on each, and its labels.

    ``device`` is a name of the device table, of which each node has ``num_devices``. The nodes of the group have
    its name as the label ``stowage.io/group``.
    """

    name: str
    max_nodes: Annotated[int, Field(gt=0)]
    num_cpus: Annotated[float, Field(ge=0)]
    memory_bytes: Annotated[int, Field(gt=0)]
    device: str | None = None
    num_devices: Annotated[int, Field(ge=0)] = 0
    labels: Mapping[str, str] = {}


_GROUPS = TypeAdapter(tuple[NodeGroup, ...])


def dump_groups(groups: Sequence[NodeGroup]) -> str:
    """As the variable has them."""
    return _GROUPS.dump_json(tuple(groups), exclude_defaults=True).decode()


def coming_nodes(text: str | None, live: Sequence[Node]) -> tuple[Node, ...]:
    """What may be added to the ``live`` nodes, by the variable's ``text``; none where it is not set.

    ConfigError when it does not say what groups are, or names a device that is not in the table.
    """
    if not text:
        return ()
    try:
        groups = _GROUPS.validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            f"{GROUPS_VARIABLE} is not what it should be: {error}",
            remedy="render the cluster's files anew, or start Ray without it",
        ) from error
    alive = Counter(node.labels.get(GROUP_LABEL) for node in live)
    return tuple(_node(group, index) for group in groups for index in range(alive[group.name], group.max_nodes))


def _node(group: NodeGroup, index: int) -> Node:
    device = {} if group.device is None else {DEVICE_LABEL: group.device}
    return Node(
        name=f"{group.name}-to-come-{index}",
        num_cpus=group.num_cpus,
        memory_bytes=group.memory_bytes,
        gpu=None if group.device is None else device_named(group.device, f"{GROUPS_VARIABLE}, group {group.name}"),
        num_devices=group.num_devices,
        group=group.name,
        labels={GROUP_LABEL: group.name, **device, **group.labels},
        source="what Ray will offer on such a node",
    )
