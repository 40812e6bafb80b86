"""The nodes of a live cluster in the reply of its dashboard's state interface (``/api/v0/nodes``)."""

from __future__ import annotations

from pydantic import BaseModel

from models.nodes import RayNode

# The interface gives 100 unless asked for more, and at most 10000.
NODES_PATH = "/api/v0/nodes?limit=10000"


class _NodeState(BaseModel):
    """One node, alive or not. Source: ``ray.util.state.common.NodeState``."""

    node_id: str
    node_name: str
    state: str
    resources_total: dict[str, float]
    labels: dict[str, str]


class _Listing(BaseModel):
    result: list[_NodeState]


class _Data(BaseModel):
    result: _Listing


class NodesReply(BaseModel):
    """The reply, of which only what a plan needs is read."""

    data: _Data

    def nodes(self) -> list[RayNode]:
        """Those that are alive."""
        return [
            RayNode(node.node_id, node.node_name, node.resources_total, node.labels)
            for node in self.data.result.result
            if node.state == "ALIVE"
        ]
