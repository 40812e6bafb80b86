"""The nodes of the Ray cluster that this process belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import ray

from models.hardware import Node
from models.nodes import RayNode, read_nodes


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
    records: list[_Record] = ray.nodes()  # type: ignore[no-untyped-call]
    return read_nodes([_ray_node(record) for record in records if record["Alive"]])


def _ray_node(record: _Record) -> RayNode:
    return RayNode(record["NodeID"], record["NodeName"], record["Resources"], record["Labels"])
