"""Version 2 of Ray's autoscaler without a head: the parts that run there, told what replicas ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from queue import Queue
from typing import Any, cast

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.instance_manager import InstanceManager
from ray.autoscaler.v2.instance_manager.instance_storage import InstanceStorage
from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter
from ray.autoscaler.v2.instance_manager.ray_installer import RayInstaller
from ray.autoscaler.v2.instance_manager.reconciler import Reconciler
from ray.autoscaler.v2.instance_manager.storage import InMemoryStorage
from ray.autoscaler.v2.instance_manager.subscribers.cloud_instance_updater import CloudInstanceUpdater
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.instance_manager.subscribers.threaded_ray_installer import ThreadedRayInstaller
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler
from ray.core.generated import autoscaler_pb2, common_pb2

Demand = tuple[Mapping[str, float], Mapping[str, str]]


class Autoscaler:
    """Starts nodes of ``config`` at ``provider``; with ``head_ip`` it also starts Ray on them."""

    def __init__(
        self, config: AutoscalingConfig, provider: NodeProvider, head_id: str, head_ip: str | None = None
    ) -> None:
        self._config, self._head_id, self._version = config, head_id, 0
        self._cloud = NodeProviderAdapter(provider, cast("Any", self))
        self.monitor = CloudResourceMonitor()
        self.install_errors: Queue[Any] = Queue()
        storage = InstanceStorage("session", cast("Any", InMemoryStorage)())
        subscribers: list[Any] = [CloudInstanceUpdater(self._cloud), self.monitor]
        if head_ip is not None:
            installer = RayInstaller(provider, config)
            subscribers.append(ThreadedRayInstaller(head_ip, storage, installer, self.install_errors))
        self._instances = InstanceManager(storage, subscribers)
        self._scheduler = ResourceDemandScheduler()

    def get_cached_autoscaling_config(self) -> AutoscalingConfig:
        """As Ray's readers of files."""
        return self._config

    def reconcile(self, demands: Sequence[Demand]) -> None:
        """One round; ``demands`` are resources and labels of replicas that wait for a node."""
        self._version += 1
        Reconciler.reconcile(
            instance_manager=self._instances,
            scheduler=self._scheduler,
            cloud_provider=self._cloud,
            cloud_resource_monitor=self.monitor,
            ray_cluster_resource_state=self._state(demands),
            non_terminated_cloud_instances=self._cloud.get_non_terminated(),
            cloud_provider_errors=self._cloud.poll_errors(),
            ray_install_errors=[],
            ray_stop_errors=[],
            autoscaling_config=self._config,
        )

    def _state(self, demands: Sequence[Demand]) -> Any:
        """The head alone has registered."""
        head = autoscaler_pb2.NodeState(
            node_id=b"h" * 28,
            instance_id=self._head_id,
            ray_node_type_name="head",
            total_resources={"node:__internal_head__": 1},
            status=autoscaler_pb2.NodeStatus.RUNNING,
        )
        requests = [autoscaler_pb2.ResourceRequestByCount(request=_request(*each), count=1) for each in demands]
        return autoscaler_pb2.ClusterResourceState(
            cluster_resource_state_version=self._version, node_states=[head], pending_resource_requests=requests
        )


def _request(resources: Mapping[str, float], labels: Mapping[str, str]) -> Any:
    constraints = [
        common_pb2.LabelSelectorConstraint(
            label_key=name, operator=common_pb2.LabelSelectorOperator.LABEL_OPERATOR_IN, label_values=[value]
        )
        for name, value in labels.items()
    ]
    selectors = [common_pb2.LabelSelector(label_constraints=constraints)] if constraints else []
    return autoscaler_pb2.ResourceRequest(resources_bundle=resources, label_selectors=selectors)
