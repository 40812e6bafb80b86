from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.provision.launch.azure import Provider
from cluster.provision.registry import ProviderName
from tests.unit.cluster.provision.rendered import ray_up_file

TAGS = {"ray-node-type": "worker", "ray-user-node-type": "a100", "ray-node-name": "n"}


class Deployments:
    """Azure's deployments of a template, of which those with spot machines fail."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def begin_create_or_update(self, parameters: dict[str, Any], **_: object) -> Any:
        given = {name: each["value"] for name, each in parameters["properties"]["parameters"].items()}
        assert given.keys() <= parameters["properties"]["template"]["parameters"].keys()
        self.asked.append(given)
        return SimpleNamespace(wait=lambda **_: self._wait(given))

    def _wait(self, given: dict[str, Any]) -> None:
        if given.get("priority") == "Spot":
            raise RuntimeError("SkuNotAvailable")


class Skus:
    """Every size in every zone."""

    def list(self, **_: object) -> list[Any]:
        zones = SimpleNamespace(location="eastus2", zones=["1", "2", "3"])
        name = "Standard_NC24ads_A100_v4"
        return [SimpleNamespace(resource_type="virtualMachines", name=name, location_info=[zones])]


@pytest.fixture
def provider() -> Any:
    """Without its clients, which would ask for credentials."""
    provider: Any = Provider.__new__(Provider)
    file = ray_up_file(ProviderName.AZURE)
    found_by_ray = {"unique_id": "abcd", "msi": "m", "nsg": "n", "subnet": "s"}
    provider.provider_config = {**file["provider"], **found_by_ray}
    provider.cluster_name = file["cluster_name"]
    provider.cache_stopped_nodes = False
    provider.resource_client = SimpleNamespace(deployments=Deployments())
    provider.compute_client = SimpleNamespace(resource_skus=Skus())
    return provider


def test_machines_are_bought_on_demand_where_no_spot_machine_is_left(provider: Any) -> None:
    node_config = ray_up_file(ProviderName.AZURE)["available_node_types"]["a100"]["node_config"]
    node_config["azure_arm_parameters"] |= {"adminUsername": "ubuntu", "publicKey": "key"}  # as Ray does
    provider.create_node(node_config, TAGS, 1)
    spot, on_demand = provider.resource_client.deployments.asked
    assert (spot["priority"], spot["billingProfile"]) == ("Spot", {"maxPrice": -1})
    assert not {"priority", "evictionPolicy", "billingProfile"} & on_demand.keys()
    for asked in (spot, on_demand):
        assert (asked["vmSize"], asked["vmCount"]) == ("Standard_NC24ads_A100_v4", 1)
        assert (asked["adminUsername"], asked["publicKey"]) == ("ubuntu", "key")
        assert asked["zones"] == ["1", "2", "3"]
