from __future__ import annotations

from threading import RLock
from typing import Any

import pytest
from ray.autoscaler._private.gcp.node import GCPCompute, GCPNodeType

from cluster.provision.launch.gcp import Provider
from cluster.provision.registry import ProviderName
from tests.unit.cluster.provision.rendered import ray_up_file

TAGS = {"ray-node-type": "worker", "ray-user-node-type": "l4", "ray-node-name": "n"}


class Compute(GCPCompute):
    """Ray's own, but for the call: an insert that fails for spot machines, as its operation does."""

    def __init__(self) -> None:
        super().__init__(None, "project", "us-central1-a", "stowage")
        self.asked: list[dict[str, Any]] = []

    def create_instances(
        self, base_config: dict[str, Any], labels: dict[str, str], count: int, wait_for_operation: bool = True
    ) -> list[Any]:
        self.asked += [self._convert_resources_to_urls(base_config)] * count
        if base_config.get("scheduling", {}).get("provisioningModel") == "SPOT":
            raise RuntimeError("ZONE_RESOURCE_POOL_EXHAUSTED")
        return [({}, f"n-{len(self.asked)}-compute")]


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Compute:
    made = Compute()
    monkeypatch.setattr(
        Provider,
        "_construct_clients",
        lambda provider: setattr(provider, "resources", {GCPNodeType.COMPUTE: made}),
    )
    return made


def test_machines_are_bought_on_demand_where_no_spot_machine_is_left(compute: Compute) -> None:
    config = ray_up_file(ProviderName.GCP)
    provider = Provider(config["provider"], config["cluster_name"])
    assert isinstance(provider.lock, type(RLock()))
    created = provider.create_node(config["available_node_types"]["l4"]["node_config"], TAGS, 2)
    assert len(created) == 2
    assert [
        (each["machineType"].rpartition("/")[2], "provisioningModel" in each["scheduling"])
        for each in compute.asked
    ] == [
        ("g2-standard-8", True),
        ("g2-standard-12", True),
        ("g2-standard-8", False),
    ] * 2
    assert all("choices" not in each for each in compute.asked)
