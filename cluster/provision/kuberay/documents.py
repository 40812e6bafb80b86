"""The manifests of ``cluster/kuberay`` that follow from the specification. Pure.

Of the base the Ray cluster with the groups without GPUs, and for each group that always has several pods the
budget of those that may be away; of the overlay ``gpu`` the groups with GPUs, as a patch. All else there is
written by hand: it follows from nothing in the specification, and reads better so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cluster.provision.kuberay.pods import (
    GROUPS_MAP,
    PART_OF,
    SECURITY,
    Object,
    group_params,
    head_params,
    head_pod,
    reference,
    scratch_mounts,
    worker_pod,
)
from cluster.provision.resources import node_group
from cluster.provision.section_rules import section_of
from cluster.provision.sections import KubeRaySection
from cluster.provision.spec import ClusterSpec, Group
from models.coming_nodes import dump_groups
from models.nodes import GROUP_LABEL

REDIS_ADDRESS = "stowage-redis:6379"
REDIS_SECRET = ("stowage-redis", "password")
TOKEN_SECRET = "stowage-ray-token"  # noqa: S105 - its name
_AUTOSCALER_AMOUNTS = MappingProxyType({"cpu": "500m", "memory": "1Gi"})


def kuberay_documents(spec: ClusterSpec) -> Mapping[str, list[object]]:
    """The documents of each file, by its path below ``kuberay``. ConfigError without a section kuberay."""
    section = section_of(spec, "kuberay", KubeRaySection)
    groups = [group for group in spec.groups if group.name in section.node_selectors]
    base = [group for group in groups if not group.gpus]
    return {
        "base/rayservice.yaml": [_ray_service(spec, section, base)],
        "base/node-groups.yaml": [_node_groups(base)],
        "base/disruption.yaml": [_budget(group) for group in groups if group.min_nodes > 1],
        "overlays/gpu/node-groups.yaml": [_node_groups(groups)],
        "overlays/gpu/worker-groups.yaml": [
            [_addition(_worker_group(spec, section, group)) for group in groups if group.gpus]
        ],
    }


def _addition(group: Object) -> Object:
    """One step of a JSON patch (RFC 6902)."""
    return {"op": "add", "path": "/spec/rayClusterConfig/workerGroupSpecs/-", "value": group}


def _node_groups(groups: Sequence[Group]) -> Object:
    """What builders of applications know of the workers before there are any."""
    name, key = GROUPS_MAP
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(PART_OF)},
        "data": {key: dump_groups([node_group(group) for group in groups])},
    }


def _ray_service(spec: ClusterSpec, section: KubeRaySection, groups: Sequence[Group]) -> Object:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": spec.name, "labels": dict(PART_OF)},
        "spec": {
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": section.old_cluster_seconds,
            "excludeHeadPodFromServeSvc": True,
            "rayClusterConfig": {
                "rayVersion": spec.ray_version,
                "authOptions": {"mode": "token", "secretName": TOKEN_SECRET},
                "gcsFaultToleranceOptions": {
                    "redisAddress": REDIS_ADDRESS,
                    "redisPassword": {"valueFrom": {"secretKeyRef": reference(*REDIS_SECRET)}},
                },
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": _autoscaler(spec, section),
                "headGroupSpec": {
                    "rayStartParams": head_params(spec),
                    "template": head_pod(spec, section),
                },
                "workerGroupSpecs": [_worker_group(spec, section, group) for group in groups],
            },
        },
    }


def _autoscaler(spec: ClusterSpec, section: KubeRaySection) -> Object:
    return {
        "version": "v2",
        "idleTimeoutSeconds": _seconds(spec.idle_timeout_minutes),
        "imagePullPolicy": section.image_pull_policy,
        "resources": {"requests": dict(_AUTOSCALER_AMOUNTS), "limits": dict(_AUTOSCALER_AMOUNTS)},
        "securityContext": dict(SECURITY),
        "volumeMounts": scratch_mounts(spec),
    }


def _worker_group(spec: ClusterSpec, section: KubeRaySection, group: Group) -> Object:
    return {
        "groupName": group.name,
        "replicas": group.min_nodes,
        "minReplicas": group.min_nodes,
        "maxReplicas": group.max_nodes,
        "idleTimeoutSeconds": _seconds(group.idle_timeout_minutes or spec.idle_timeout_minutes),
        "labels": group.node_labels,
        "rayStartParams": group_params(spec, group),
        "template": worker_pod(spec, section, group),
    }


def _budget(group: Group) -> Object:
    """One pod at a time may be evicted. A group with a single pod has none: it could never be moved."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"stowage-{group.name}", "labels": dict(PART_OF)},
        "spec": {
            "minAvailable": group.min_nodes - 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {**PART_OF, GROUP_LABEL: group.name}},
        },
    }


def _seconds(minutes: float) -> int:
    return round(minutes * 60)
