"""Ray's provider for Azure, which goes through the machines that a node may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.autoscaler._private._azure.node_provider import AzureNodeProvider

from cluster.provision.choices import start_each


class Provider(AzureNodeProvider):
    """What ``provider.module`` of ``cluster/azure.yaml`` names."""

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Until a machine is there, or the cloud has refused all of them."""
        create: Callable[..., dict[str, Any] | None] = super().create_node
        return start_each(node_config, count, lambda configuration: create(configuration, tags, 1))
