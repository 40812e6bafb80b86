"""What a real Ray says of its nodes, over both of its interfaces. Its GPUs are made up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.live.dashboard import Dashboard
from deployments.live_nodes import live_nodes
from models.devices import device_named
from models.errors import StowageError
from tests.integration.cluster import eventually, free_port

GIB = 1024**3
STORE_BYTES = 80 * 1024**2


@pytest.fixture
def dashboard_port() -> Iterator[int]:
    """A head without GPUs, one node with two that are labelled, and one with a GPU that Ray knows."""
    port = free_port()
    head = {"num_cpus": 1, "memory": 4 * GIB, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": STORE_BYTES})
    try:
        labels = {"stowage.io/device": "a100-80gb", "stowage.io/node": "gpu-0"}
        cluster.add_node(num_cpus=2, num_gpus=2, memory=8 * GIB, object_store_memory=STORE_BYTES, labels=labels)
        known = {"accelerator_type:L4": 1}
        cluster.add_node(num_cpus=3, num_gpus=1, memory=GIB, object_store_memory=STORE_BYTES, resources=known)
        ray.init(address=cluster.address, log_to_driver=False)
        yield port
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def test_both_interfaces_tell_the_same_nodes(dashboard_port: int) -> None:
    nodes = live_nodes()
    described = {(node.num_cpus, node.memory_bytes, node.gpu, node.num_devices) for node in nodes}
    assert described == {
        (1.0, 4 * GIB, None, 0),
        (2.0, 8 * GIB, device_named("a100-80gb"), 2),
        (3.0, GIB, device_named("l4-24gb"), 1),
    }
    assert "gpu-0" in {node.name for node in nodes}
    dashboard = Dashboard(f"http://127.0.0.1:{dashboard_port}")

    def lists_them() -> bool:
        with suppress(StowageError):  # it does not answer yet
            return dashboard.nodes() == nodes
        return False

    eventually(lists_them, timeout_s=60, what="the dashboard lists the nodes")
