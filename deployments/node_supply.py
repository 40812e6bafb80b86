"""What Ray's autoscaler says of the nodes that it adds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ray.core.generated.autoscaler_pb2 import (
    AutoscalingState,
    FailedInstanceRequest,
    GetClusterStatusReply,
    ResourceRequest,
)
from ray.experimental.internal_kv import internal_kv_get_gcs_client

from deployments.routing.node_supply import Bundle, NodeSupply

_TIMEOUT_S = 5


def node_supply() -> NodeSupply | None:
    """None where there is no autoscaler, or one of the first version, which tells nothing of it. RayError."""
    client = internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]
    status = GetClusterStatusReply.FromString(client.get_cluster_status(timeout_s=_TIMEOUT_S))
    return read_supply(status.autoscaling_state) if status.HasField("autoscaling_state") else None


def read_supply(state: AutoscalingState) -> NodeSupply:
    """Also of an autoscaler that may add nothing: then every demand that finds no node is refused."""
    coming: Counter[str] = Counter()
    for request in state.pending_instance_requests:
        coming[request.ray_node_type_name] += request.count
    for instance in state.pending_instances:
        coming[instance.ray_node_type_name] += 1
    alone = [_bundles([request]) for request in state.infeasible_resource_requests]
    gangs = [_bundles(gang.requests) for gang in state.infeasible_gang_resource_requests]
    failed = sorted(state.failed_instance_requests, key=lambda request: request.failed_ts)
    return NodeSupply(coming, (*alone, *gangs), tuple(map(_failure, failed)))


def _bundles(requests: Iterable[ResourceRequest]) -> tuple[Bundle, ...]:
    return tuple(dict(request.resources_bundle) for request in requests)


def _failure(request: FailedInstanceRequest) -> str:
    return f"{request.ray_node_type_name}: {request.reason}" if request.reason else request.ray_node_type_name
