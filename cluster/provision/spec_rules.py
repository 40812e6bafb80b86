"""What the parts of a cluster's specification ask of each other. Every rule gives all its complaints. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

from cluster.config.config_file import Complaint
from cluster.provision.section_rules import broken_section_rules
from cluster.provision.spec import ClusterSpec
from models.nodes import NODE_LABEL


def broken_rules(spec: ClusterSpec) -> Iterator[Complaint]:
    """The complaints of all rules."""
    for rule in (_ray_version, _names, _counts, _budget, _markets, _accelerators, _node_names):
        yield from rule(spec)
    yield from broken_section_rules(spec)


def _ray_version(spec: ClusterSpec) -> Iterator[Complaint]:
    installed = version("ray")
    if spec.ray_version != installed:
        message = f"this Stowage runs on Ray {installed}, not {spec.ray_version}: all nodes need the same version"
        yield Complaint(("ray_version",), message)


def _names(spec: ClusterSpec) -> Iterator[Complaint]:
    seen = Counter[str]()
    for index, group in enumerate(spec.groups):
        if group.name in {*seen, "head"}:
            taken = "the head's" if group.name == "head" else "taken by another group"
            yield Complaint(("groups", index, "name"), f"{group.name!r} is {taken}: give each a name of its own")
        seen[group.name] += 1


def _counts(spec: ClusterSpec) -> Iterator[Complaint]:
    for index, group in enumerate(spec.groups):
        if group.min_nodes > group.max_nodes:
            message = f"{group.name} has min_nodes {group.min_nodes} and max_nodes {group.max_nodes}: swap them"
            yield Complaint(("groups", index, "min_nodes"), message)


def _budget(spec: ClusterSpec) -> Iterator[Complaint]:
    larger = [(index, group) for index, group in enumerate(spec.groups) if group.max_nodes > spec.max_workers]
    for index, group in larger:
        message = (
            f"{group.name} may have {group.max_nodes} nodes, but max_workers allows the whole cluster "
            f"{spec.max_workers}: lower one or raise the other"
        )
        yield Complaint(("groups", index, "max_nodes"), message)
    total = sum(group.max_nodes for group in spec.groups)
    if total > spec.max_workers and not larger:
        parts = " + ".join(f"{group.max_nodes} {group.name}" for group in spec.groups)
        message = (
            f"{spec.max_workers} is less than the {total} nodes that the groups may have ({parts}): "
            "a plan on all of them could not come true; raise it, or lower max_nodes"
        )
        yield Complaint(("max_workers",), message)


def _markets(spec: ClusterSpec) -> Iterator[Complaint]:
    for index, group in enumerate(spec.groups):
        if len(set(group.markets)) < len(group.markets):
            message = f"{list(group.markets)} names one market twice: leave one out"
            yield Complaint(("groups", index, "markets"), message)
        if group.min_nodes and "on-demand" not in group.markets:
            message = (
                f"{group.name} is to have {group.min_nodes} nodes at any time, and spot nodes can be taken away "
                "at any time: add on-demand to fall back to, or make min_nodes 0"
            )
            yield Complaint(("groups", index, "markets"), message)


def _accelerators(spec: ClusterSpec) -> Iterator[Complaint]:
    for index, group in enumerate(spec.groups):
        if bool(group.gpus) != (group.accelerator is not None):
            message = (
                f"{group.name} has accelerator {group.accelerator} and gpus {group.gpus}: give both, or neither"
            )
            yield Complaint(("groups", index, "gpus" if group.gpus else "accelerator"), message)


def _node_names(spec: ClusterSpec) -> Iterator[Complaint]:
    for index, group in enumerate(spec.groups):
        if NODE_LABEL in group.labels and group.max_nodes > 1:
            message = (
                f"{NODE_LABEL} names one node, and {group.name} may have {group.max_nodes}: "
                "make max_nodes 1, or leave the label out"
            )
            yield Complaint(("groups", index, "labels"), message)
