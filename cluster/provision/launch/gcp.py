"""Ray's provider for Google Compute Engine, which goes through the machines that a node may be."""

from __future__ import annotations

from typing import Any

from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

from cluster.provision.choices import start_each


class Provider(GCPNodeProvider):
    """What ``provider.module`` of ``cluster/gcp.yaml`` names."""

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Until a machine is there, or the cloud has refused all of them."""
        create = super().create_node
        return start_each(node_config, count, lambda configuration: create(configuration, tags, 1))
