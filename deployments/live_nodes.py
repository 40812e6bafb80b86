"""The nodes of the Ray cluster that this process belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypedDict

import ray
from ray._private.state import available_resources_per_node

from deployments.routing.shortage import FreeNode
from models.coming_nodes import GROUPS_VARIABLE, coming_nodes
from models.errors import ConfigError
from models.hardware import Device, Node
from models.nodes import NODE_LABEL, RayNode, gpu_of, read_nodes


class _Record(TypedDict):
    """The fields of ``ray.nodes()`` that are read here."""

    NodeID: str
    NodeName: str
    Alive: bool
    Resources: Mapping[str, float]
    Labels: Mapping[str, str]


def live_nodes() -> tuple[Node, ...]:
    """Every node that is alive, sorted by name. ConfigError as ``read_nodes`` raises it.

    Which versions' weights lie on which node is not known to Ray: ``stored`` is empty.
    """
    return read_nodes([_ray_node(record) for record in _alive()])


def planned_nodes() -> tuple[Node, ...]:
    """The nodes that plans are made for: those alive, and those that may be added. ConfigError as for either."""
    live = live_nodes()
    return (*live, *coming_nodes(os.environ.get(GROUPS_VARIABLE), live))


def free_nodes() -> tuple[FreeNode, ...]:
    """What each node that is alive has free now. Ray tells it for one node only in a module of its own."""
    free: Mapping[str, Mapping[str, float]] = available_resources_per_node()  # type: ignore[no-untyped-call]
    return tuple(_free_node(record, free.get(record["NodeID"], {})) for record in _alive())


def _alive() -> list[_Record]:
    records: list[_Record] = ray.nodes()  # type: ignore[no-untyped-call]
    return [record for record in records if record["Alive"]]


def _free_node(record: _Record, free: Mapping[str, float]) -> FreeNode:
    name = record["Labels"].get(NODE_LABEL, record["NodeName"])
    return FreeNode(free, _known_gpu(name, record), record["Labels"])


def _known_gpu(name: str, record: _Record) -> Device | None:
    """Its builder says what is wrong with a GPU that is not known; here the fraction of it has to do."""
    try:
        return gpu_of(name, record["Resources"], record["Labels"])
    except ConfigError:
        return None


def _ray_node(record: _Record) -> RayNode:
    return RayNode(record["NodeID"], record["NodeName"], record["Resources"], record["Labels"])
