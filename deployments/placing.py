"""How the places of a plan are told to Ray. Pure.

Ray takes a fraction of a GPU for a number: it picks the node, and on it the first GPU with that much left, and
knows nothing of a plan. What it honours are the labels of nodes and a cap on the replicas of one deployment on a
node; which GPU of the node a replica then uses is the replica's own doing (``devices``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from deployments.args import ModelArgs, Place
from models.errors import ConfigError
from models.hardware import Device, Node
from models.memory.plan import MemoryPlan
from models.nodes import DEVICE_LABEL, NODE_ID_LABEL, NODE_LABEL
from models.types import VersionId


class Selector(TypedDict):
    """One of Ray's ``fallback_strategy``."""

    label_selector: dict[str, str]


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """Serve's options of the same names."""

    label_selector: dict[str, str]
    fallback_strategy: list[Selector]
    max_replicas_per_node: int


def choose_nodes(places: Sequence[Place], nodes: Sequence[Node]) -> NodeChoice:
    """The nodes of ``places``, those with most places first, and the most places on one of them as the cap.

    All replicas of a deployment ask Ray alike, so nodes that hold fewer of them are asked only when those that
    hold more are full. That fills every place and no other when one node at most has fewer places than the rest;
    else a replica may come to a node whose places are taken, where it ends, and Serve starts it again.
    """
    counts = Counter(place.node for place in places)
    by_name = {node.name: node for node in nodes if node.name in counts}
    label = _name_label(by_name.values())
    first, *others = (
        {label: _any_of(by_name[name].labels[label] for name in sorted(counts) if counts[name] == count)}
        for count in sorted(set(counts.values()), reverse=True)
    )
    return NodeChoice(first, [Selector(label_selector=each) for each in others], max(counts.values()))


def choose_names(places: Sequence[Place], nodes: Sequence[Node]) -> dict[str, str]:
    """The label selector for the nodes of ``places``, whatever they hold."""
    names = {place.node for place in places}
    chosen = sorted((node for node in nodes if node.name in names), key=lambda node: node.name)
    label = _name_label(chosen)
    return {label: _any_of(node.labels[label] for node in chosen)}


def choose_kind(device: Device, nodes: Sequence[Node]) -> dict[str, str]:
    """The label selector that keeps a replica without a place to nodes with ``device``; empty where all GPUs are.

    By the label ``stowage.io/device`` where all those nodes have it, so that nodes may join later.
    """
    if {node.gpu for node in nodes if node.gpu is not None} <= {device}:
        return {}
    having = [node for node in nodes if node.gpu == device]
    if all(node.labels.get(DEVICE_LABEL) == device.name for node in having):
        return {DEVICE_LABEL: device.name}
    label = _name_label(having)
    return {label: _any_of(sorted(node.labels[label] for node in having))}


def check_places(args: ModelArgs, plan: MemoryPlan, nodes: Sequence[Node]) -> None:
    """ConfigError when ``args.placement`` names what is not there, or another device or degree than the plan."""
    by_name = {node.name: node for node in nodes}
    _check_degree(args, plan)
    for place in args.placement:
        if place.node not in by_name:
            raise _stale(args.id, f"node {place.node!r}, but alive are {_listed(by_name)}")
        node = by_name[place.node]
        if bool(place.devices) != (plan.device.kind != "cpu"):
            raise _stale(args.id, f"{_named(place)}, but the model is planned for {plan.device.name}")
        if place.devices and node.gpu != plan.device:
            has = node.gpu.name if node.gpu else "no GPU"
            raise _stale(
                args.id, f"{_named(place)}, which has {has}, but the model is planned for {plan.device.name}"
            )
        if any(index >= node.num_devices for index in place.devices):
            raise _stale(args.id, f"{_named(place)}, which has {node.num_devices}")


def _check_degree(args: ModelArgs, plan: MemoryPlan) -> None:
    """Of a group: whether each has a place for every stage, with a GPU of its own for every rank."""
    degree = plan.parts
    num_places = args.max_replicas * degree.pipeline
    if args.placement and (len(args.placement) < num_places or len(args.placement) % degree.pipeline):
        raise _stale(
            args.id,
            f"{len(args.placement)} places, but {args.max_replicas} replicas of {degree} take {num_places}",
        )
    for start in range(0, len(args.placement), degree.pipeline):
        own = args.placement[start : start + degree.pipeline]
        for place in own:
            if place.devices and len(place.devices) != degree.tensor:
                raise _stale(args.id, f"{_named(place)}, but the model is planned for {degree}")
        taken = Counter((place.node, index) for place in own for index in place.devices)
        if taken and max(taken.values()) > 1:
            (node, index), _ = taken.most_common(1)[0]
            raise _stale(args.id, f"GPU {index} of node {node} for two ranks of one replica")


def places_on(places: Sequence[Place], node: str) -> tuple[Place, ...]:
    return tuple(place for place in places if place.node == node)


def _name_label(nodes: Iterable[Node]) -> str:
    """Ours, which stays when a node is started anew, where all ``nodes`` have it."""
    return NODE_LABEL if all(NODE_LABEL in node.labels for node in nodes) else NODE_ID_LABEL


def _any_of(values: Iterable[str]) -> str:
    return f"in({','.join(values)})"


def _named(place: Place) -> str:
    gpus = ", ".join(map(str, place.devices))
    return f"GPU {gpus} of node {place.node}" if gpus else f"node {place.node} without a GPU"


def _listed(by_name: Mapping[str, Node]) -> str:
    return ", ".join(sorted(by_name)) or "none"


def _stale(model: VersionId, what: str) -> ConfigError:
    return ConfigError(
        f"placement of {model} names {what}",
        remedy="plan again for the nodes that there are: stowage plan CONFIG --address URL --write CONFIG",
    )
