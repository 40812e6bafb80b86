"""Ray's provider for Amazon EC2, which goes through the machines that a node may be."""

from __future__ import annotations

from typing import Any

from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

from cluster.provision.choices import start_each


class Provider(AWSNodeProvider):
    """What ``provider.module`` of ``cluster/aws.yaml`` names."""

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Each machine is asked for in every zone before the next one is."""
        create = super().create_node
        return start_each(node_config, count, lambda configuration: create(configuration, tags, 1))

    @staticmethod
    def fillout_available_node_types_resources(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """The file has them; Ray would add those of the first machine."""
        return cluster_config
