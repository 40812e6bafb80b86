"""What Ray's GCS tells of demands and of the autoscaler."""

from __future__ import annotations

from ray.core.generated.autoscaler_pb2 import (
    AutoscalingState,
    ClusterResourceState,
    FailedInstanceRequest,
    GangResourceRequest,
    GetClusterStatusReply,
    PendingInstance,
    PendingInstanceRequest,
    ResourceRequest,
    ResourceRequestByCount,
)

from deployments.node_supply import read_supply
from deployments.routing.node_supply import NodeAutoscaler, NodeSupply

SMALL, LARGE = {"CPU": 1.0}, {"CPU": 64.0, "memory": 1e12}


def request(bundle: dict[str, float]) -> ResourceRequest:
    return ResourceRequest(resources_bundle=bundle)


def test_the_whole_state() -> None:
    autoscaling = AutoscalingState(
        pending_instance_requests=[
            PendingInstanceRequest(ray_node_type_name="gpu", count=2),
            PendingInstanceRequest(ray_node_type_name="cpu", count=1),
        ],
        pending_instances=[PendingInstance(ray_node_type_name="gpu")],
        infeasible_resource_requests=[request(LARGE)],
        infeasible_gang_resource_requests=[GangResourceRequest(requests=[request(SMALL), request(LARGE)])],
        failed_instance_requests=[
            FailedInstanceRequest(ray_node_type_name="gpu", failed_ts=2, reason="no capacity"),
            FailedInstanceRequest(ray_node_type_name="cpu", failed_ts=1),
        ],
    )
    resources = ClusterResourceState(
        pending_resource_requests=[ResourceRequestByCount(request=request(LARGE), count=2)],
        pending_gang_resource_requests=[GangResourceRequest(requests=[request(SMALL), request(SMALL)])],
    )
    status = GetClusterStatusReply(autoscaling_state=autoscaling, cluster_resource_state=resources)
    assert read_supply(status) == NodeSupply(
        ((LARGE,), (SMALL, SMALL)),
        NodeAutoscaler({"gpu": 3, "cpu": 1}, ((LARGE,), (SMALL, LARGE)), ("cpu", "gpu: no capacity")),
    )


def test_an_autoscaler_that_does_nothing() -> None:
    assert read_supply(GetClusterStatusReply(autoscaling_state=AutoscalingState())) == NodeSupply(
        (), NodeAutoscaler()
    )


def test_no_autoscaler() -> None:
    assert read_supply(GetClusterStatusReply()) == NodeSupply()
