"""The autoscaler's state, as it writes it."""

from __future__ import annotations

from ray.core.generated.autoscaler_pb2 import (
    AutoscalingState,
    FailedInstanceRequest,
    GangResourceRequest,
    PendingInstance,
    PendingInstanceRequest,
    ResourceRequest,
)

from deployments.node_supply import read_supply
from deployments.routing.node_supply import NodeSupply

SMALL, LARGE = {"CPU": 1.0}, {"CPU": 64.0, "memory": 1e12}


def request(bundle: dict[str, float]) -> ResourceRequest:
    return ResourceRequest(resources_bundle=bundle)


def test_the_whole_state() -> None:
    state = AutoscalingState(
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
    assert read_supply(state) == NodeSupply(
        {"gpu": 3, "cpu": 1}, ((LARGE,), (SMALL, LARGE)), ("cpu", "gpu: no capacity")
    )


def test_an_autoscaler_that_does_nothing() -> None:
    assert read_supply(AutoscalingState()) == NodeSupply()
