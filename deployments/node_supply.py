"""What Ray says of the replicas that it has no node for, and its autoscaler of the nodes that it adds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ray.core.generated.autoscaler_pb2 import (
    AutoscalingState,
    ClusterResourceState,
    FailedInstanceRequest,
    GetClusterStatusReply,
    ResourceRequest,
)
from ray.experimental.internal_kv import internal_kv_get_gcs_client

from deployments.routing.node_supply import Bundle, Demand, NodeAutoscaler, NodeSupply

_TIMEOUT_S = 5


def node_supply() -> NodeSupply:
    """RayError."""
    client = internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]
    return read_supply(GetClusterStatusReply.FromString(client.get_cluster_status(timeout_s=_TIMEOUT_S)))


def read_supply(status: GetClusterStatusReply) -> NodeSupply:
    """The autoscaler's first version tells nothing of itself, and counts as none."""
    has_autoscaler = status.HasField("autoscaling_state")
    autoscaler = _autoscaler(status.autoscaling_state) if has_autoscaler else None
    return NodeSupply(tuple(_sought(status.cluster_resource_state)), autoscaler)


def _sought(state: ClusterResourceState) -> Iterable[Demand]:
    yield from (_demand([each.request]) for each in state.pending_resource_requests)
    yield from (_demand(gang.requests) for gang in state.pending_gang_resource_requests)


def _autoscaler(state: AutoscalingState) -> NodeAutoscaler:
    """Also one that may add nothing: then it refuses every demand that finds no node."""
    coming: Counter[str] = Counter()
    for request in state.pending_instance_requests:
        coming[request.ray_node_type_name] += request.count
    for instance in state.pending_instances:
        coming[instance.ray_node_type_name] += 1
    alone = [_demand([request]) for request in state.infeasible_resource_requests]
    gangs = [_demand(gang.requests) for gang in state.infeasible_gang_resource_requests]
    failed = sorted(state.failed_instance_requests, key=lambda request: request.failed_ts)
    return NodeAutoscaler(coming, (*alone, *gangs), tuple(map(_failure, failed)))


def _demand(requests: Iterable[ResourceRequest]) -> Demand:
    return tuple(_bundle(request) for request in requests)


def _bundle(request: ResourceRequest) -> Bundle:
    return dict(request.resources_bundle)


def _failure(request: FailedInstanceRequest) -> str:
    return f"{request.ray_node_type_name}: {request.reason}" if request.reason else request.ray_node_type_name
