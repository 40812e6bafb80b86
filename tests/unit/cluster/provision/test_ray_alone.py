"""Why the provider goes through the machines itself: Ray 2.60's autoscaler does not. When this fails, it may."""

from __future__ import annotations

import time
from typing import Any, cast

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

from tests.autoscaler import Autoscaler

ROUNDS = 6
FILE = {
    "cluster_name": "c",
    "max_workers": 5,
    "provider": {"type": "aws", "region": "us-west-2"},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "spot": {"resources": {"CPU": 8, "GPU": 1}, "node_config": {}, "max_workers": 3, "priority": 2},
        "on-demand": {"resources": {"CPU": 8, "GPU": 1}, "node_config": {}, "max_workers": 3, "priority": 1},
    },
}


class Refusing(NodeProvider):
    """A cloud without spot machines."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        return ["head"]

    def node_tags(self, node_id: str) -> dict[str, str]:
        return {"ray-node-type": "head", "ray-user-node-type": "head"}

    def is_running(self, node_id: str) -> bool:
        return True

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any] | None:
        self.asked.append(tags["ray-user-node-type"])
        raise RuntimeError("InsufficientInstanceCapacity")


def test_the_autoscaler_asks_for_what_is_refused_again_and_again() -> None:
    provider, config = Refusing(), AutoscalingConfig(cast("Any", FILE), skip_content_hash=True)
    autoscaler, deadline = Autoscaler(config, provider, "head"), time.monotonic() + 60
    while len(provider.asked) < ROUNDS and time.monotonic() < deadline:
        autoscaler.reconcile([({"GPU": 1.0}, {})])
    assert provider.asked[:ROUNDS] == ["spot"] * ROUNDS
    assert autoscaler.monitor.get_recoverable_resource_availabilities() == {}
