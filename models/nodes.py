"""From what Ray says of its nodes to the nodes of a plan. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.devices import device_named, devices_of_type
from models.errors import ConfigError
from models.hardware import Device, Node

# Ray's own labels.
NODE_ID_LABEL = "ray.io/node-id"
NODE_GROUP_LABEL = "ray.io/node-group"
ACCELERATOR_LABEL = "ray.io/accelerator-type"
# Ours, which an operator gives to ``ray start --labels``.
DEVICE_LABEL = "stowage.io/device"
NODE_LABEL = "stowage.io/node"
# Of the nodes of one group, where a provider offers several kinds of machines for it.
GROUP_LABEL = "stowage.io/group"

UNUSED_DEVICE = "none"
_ACCELERATOR_RESOURCE = "accelerator_type:"


@dataclass(frozen=True, slots=True)
class RayNode:
    """What Ray says of one node that is alive: its total resources by Ray's names, and its labels."""

    node_id: str
    name: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


def read_nodes(records: Sequence[RayNode]) -> tuple[Node, ...]:
    """The nodes of a live cluster, sorted by name.

    A node's name is its label ``stowage.io/node``, else what Ray calls it (its IP address, unless it was given a
    name) where no other node is called so, else its id. Every node has its id as the label ``ray.io/node-id``.
    ConfigError when two nodes have one name, and for GPUs whose memory is not known.
    """
    num_called = Counter(record.name for record in records)
    nodes = [_node(record, own_name=num_called[record.name] == 1) for record in records]
    check_names(nodes)
    return tuple(sorted(nodes, key=lambda node: node.name))


def check_names(nodes: Iterable[Node]) -> None:
    """ConfigError when two nodes have one name: a placement could not tell them apart."""
    for name, count in Counter(node.name for node in nodes).items():
        if count > 1:
            raise ConfigError(
                f"{count} nodes are called {name!r}",
                remedy=f"give each node a name of its own, which for a node of Ray is the label {NODE_LABEL}",
            )


def gpu_of(where: str, resources: Mapping[str, float], labels: Mapping[str, str]) -> Device | None:
    """The kind of GPU of the node called ``where``; None when it offers none, or none that is to be used.

    The label ``stowage.io/device`` decides: a name of the device table, or ``none`` for GPUs to leave alone.
    Without it Ray's accelerator type does, if just one device is of that type. ConfigError for every other GPU,
    because its memory is not known.
    """
    if not resources.get("GPU"):
        return None
    named = labels.get(DEVICE_LABEL)
    if named == UNUSED_DEVICE:
        return None
    if named:
        return device_named(named, f"label {DEVICE_LABEL} of node {where}")
    accelerator_type = labels.get(ACCELERATOR_LABEL) or _accelerator_resource(resources)
    found = devices_of_type(accelerator_type)
    if len(found) != 1:
        raise _unknown_gpu(where, accelerator_type, found)
    return found[0]


def _node(record: RayNode, *, own_name: bool) -> Node:
    resources, labels = record.resources, record.labels
    name = labels.get(NODE_LABEL) or (record.name if own_name else record.node_id)
    gpu = gpu_of(name, resources, labels)
    return Node(
        name=name,
        num_cpus=resources.get("CPU", 0.0),
        memory_bytes=int(resources.get("memory", 0)),
        gpu=gpu,
        num_devices=int(resources["GPU"]) if gpu else 0,
        group=labels.get(GROUP_LABEL) or labels.get(NODE_GROUP_LABEL, ""),
        labels={**labels, NODE_ID_LABEL: record.node_id},
        source="what Ray offers on this node",
    )


def _accelerator_resource(resources: Mapping[str, float]) -> str | None:
    """``H100`` of the resource ``accelerator_type:H100``, which Ray gives to a node with such GPUs."""
    marks = (name for name in resources if name.startswith(_ACCELERATOR_RESOURCE))
    return next((mark.removeprefix(_ACCELERATOR_RESOURCE) for mark in marks), None)


def _unknown_gpu(where: str, accelerator_type: str | None, found: Sequence[Device]) -> ConfigError:
    says = f"Ray calls them {accelerator_type}" if accelerator_type else "Ray does not say what they are"
    either = " or ".join(device.name for device in found)
    if found:
        says += f", which may be {either}"
    return ConfigError(
        f"the memory of the GPUs of node {where} is not known: {says}",
        remedy=f"give the node the label {DEVICE_LABEL}: {either or 'a name of the table in docs/hardware.md'}, "
        f"or {UNUSED_DEVICE} to leave its GPUs alone",
    )
