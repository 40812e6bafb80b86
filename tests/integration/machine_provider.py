"""The cloud of a test, as Ray's autoscaler asks for it: machines that are processes on this one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from tests.integration.machines import Machines

HEAD = "head"
HEAD_TYPE = "head"
HEAD_TAGS = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: HEAD_TYPE}

_OF_HEADS = ("RAY_REDIS_ADDRESS",)


class MachineProvider(NodeProvider):
    """``provider_config`` has the ``folder`` of the machines and Ray's ``address``."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._machines = Machines(Path(provider_config["folder"]))

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        names = self._machines.names()
        return [name for name in names if tag_filters.items() <= self._machines.tags(name).items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self._machines.names()

    def is_terminated(self, node_id: str) -> bool:
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self._machines.tags(node_id)

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OF_HEADS}
        for _ in range(count):
            name = f"{tags[TAG_RAY_USER_NODE_TYPE]}-{uuid.uuid4().hex[:8]}"
            environment["RAY_NODE_TYPE_NAME"] = tags[TAG_RAY_USER_NODE_TYPE]
            self._machines.start(name, tags, [*self._options(name, resources)], environment)

    def terminate_node(self, node_id: str) -> None:
        self._machines.remove(node_id)

    def _options(self, name: str, resources: dict[str, float]) -> list[str]:
        return [
            f"--address={self.provider_config['address']}",
            f"--num-cpus={resources['CPU']}",
            f"--memory={resources['memory']}",
            f"--object-store-memory={80 * 1024**2}",
            f"--labels=stowage.io/node={name}",
            "--node-ip-address=127.0.0.3",
            "--include-log-monitor=false",
            "--dashboard-agent-listen-port=0",
        ]
