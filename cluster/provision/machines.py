"""Which machines a node of a group may be, and in which order they are asked for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.provision.sections import CloudSection
from cluster.provision.spec import ClusterSpec, Group


@dataclass(frozen=True, slots=True)
class Machine:
    """One choice: an instance type, bought as spot or on demand."""

    instance_type: str
    spot: bool


def machines_of(group: Group, instance_types: Sequence[str]) -> list[Machine]:
    """The markets in their order, in each of them the instance types in theirs."""
    return [Machine(name, spot=market == "spot") for market in group.markets for name in instance_types]


def groups_of(spec: ClusterSpec, section: CloudSection) -> list[Group]:
    """The groups that the provider has machines for."""
    return [group for group in spec.groups if section.instance_types[group.name]]
