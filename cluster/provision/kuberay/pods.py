"""The pods of Ray on Kubernetes. Pure.

What KubeRay adds to them: the command of `ray start`, the environment of the cluster and of its token, in workers
a container that waits for the head, with security context and volumes of the first one, and in the head the
autoscaler's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.provision.environment import node_environment
from cluster.provision.kuberay.scheduling import scheduling
from cluster.provision.resources import ray_resources
from cluster.provision.sections import KubeRaySection
from cluster.provision.spec import ClusterSpec, Group, Size
from models.coming_nodes import GROUPS_VARIABLE

Object = dict[str, Any]

# By this label the other manifests of cluster/kuberay know the pods of Ray.
PART_OF = {"app.kubernetes.io/part-of": "stowage"}
HEAD_ACCOUNT = "stowage-head"
WORKER_ACCOUNT = "stowage-worker"
# Secrets that are there already, and their keys.
STATE_SECRET = ("stowage-state", "url")
GROUPS_MAP = ("stowage-node-groups", "groups")
TLS_SECRET = "stowage-tls"  # noqa: S105 - its name
STATE_VARIABLE = "STOWAGE_STATE"
TLS_FOLDER = "/etc/stowage/tls"
DATA_FOLDER = "/var/lib/stowage"

HTTP_PORT = 8000
_PORTS = {"serve": HTTP_PORT, "serve-grpc": 9000, "metrics": 8080}
_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, **_PORTS, "as-metrics": 44217, "dash-metrics": 44227}
_AGENT_PORT = 52365

_MIB = 1024**2
# Raylet, agents and proxy of a worker's container take this beside what the group says that Ray has.
_SYSTEM_BYTES = 2048 * _MIB
# What PyTorch and NCCL have of /dev/shm beside Ray's object store.
_SHARED_BYTES = 1024 * _MIB
_HEAD_OBJECT_BYTES = 1024 * _MIB
# How long Ray itself may take to end after the drain.
_STOP_SECONDS = 30

SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


@dataclass(frozen=True, slots=True)
class _Node:
    """What a container has of its own: its ports by name, and the resources that are requests and limits."""

    name: str
    ports: Mapping[str, int]
    amounts: Object
    gpu: bool = False


def head_pod(spec: ClusterSpec, section: KubeRaySection) -> Object:
    """The pod template of the head. Its account is the autoscaler's, which asks Kubernetes for pods."""
    amounts = _amounts(spec.head, spec.head.memory)
    container = _container(spec, section, _Node("ray-head", _HEAD_PORTS, amounts))
    return {
        "metadata": {"labels": dict(PART_OF)},
        "spec": {"serviceAccountName": HEAD_ACCOUNT, **_pod(spec, container), **_volumes(_HEAD_OBJECT_BYTES)},
    }


def worker_pod(spec: ClusterSpec, section: KubeRaySection, group: Group) -> Object:
    """The pod template of a group. A pod that is to end first hands its replicas on."""
    amounts = _amounts(group, group.memory + _SYSTEM_BYTES)
    if group.gpus:
        amounts["nvidia.com/gpu"] = group.gpus
    container = {
        **_container(spec, section, _Node("ray-worker", _PORTS, amounts, gpu=bool(group.gpus))),
        "readinessProbe": _probe(
            {"path": "/-/healthz", "port": HTTP_PORT, "scheme": "HTTPS"}, period=5, failures=2
        ),
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/bash", "-c", drain_command(section.drain_seconds)]}}},
    }
    return {
        "metadata": {"labels": dict(PART_OF)},
        "spec": {
            "serviceAccountName": WORKER_ACCOUNT,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": section.drain_seconds + _STOP_SECONDS,
            **_pod(spec, container),
            **scheduling(section, group),
            **_volumes(_object_bytes(group)),
        },
    }


def head_params(spec: ClusterSpec) -> dict[str, str]:
    """The options of `ray start` on the head: no replica runs there."""
    return {"num-cpus": "0", **_object_params(spec, _HEAD_OBJECT_BYTES)}


def group_params(spec: ClusterSpec, group: Group) -> dict[str, str]:
    """The options of `ray start` on a group's nodes. What is missing KubeRay takes from the container's limits."""
    return {"memory": str(ray_resources(group)["memory"]), **_object_params(spec, _object_bytes(group))}


def scratch_mounts(spec: ClusterSpec) -> list[Object]:
    """Where programs write that need not say so; the image itself is read-only."""
    folders = {"scratch": "/tmp", "home": spec.image.home}  # noqa: S108
    return [{"name": name, "mountPath": folder} for name, folder in folders.items()]


def drain_command(seconds: int) -> str:
    """Let Serve start the node's replicas elsewhere; then Ray ends here, and the container with it.

    Where nobody answers, as at the end of the whole cluster, there is nothing to wait for.
    """
    return (
        "timeout 20 ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'its pod is to end' "
        f"--deadline-remaining-seconds {seconds} && sleep {seconds}"
    )


def _object_params(spec: ClusterSpec, num_bytes: int) -> dict[str, str]:
    return {"object-store-memory": str(num_bytes), "object-spilling-directory": spec.spill_directory}


def _object_bytes(group: Group) -> int:
    return group.memory - ray_resources(group)["memory"]


def _pod(spec: ClusterSpec, container: Object) -> Object:
    return {
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": spec.image.uid,
            "runAsGroup": spec.image.uid,
            "fsGroup": spec.image.uid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }


def _container(spec: ClusterSpec, section: KubeRaySection, node: _Node) -> Object:
    return {
        "name": node.name,
        "image": spec.image.reference(gpu=node.gpu),
        "imagePullPolicy": section.image_pull_policy,
        "ports": [{"name": port, "containerPort": number} for port, number in node.ports.items()],
        "env": _environment(spec),
        "resources": {"requests": node.amounts, "limits": dict(node.amounts)},
        "securityContext": dict(SECURITY),
        "volumeMounts": [
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
            *scratch_mounts(spec),
            {"name": "data", "mountPath": DATA_FOLDER},
            {"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True},
        ],
        "livenessProbe": _probe({"path": "/api/healthz", "port": _AGENT_PORT}, period=10, failures=12),
        "readinessProbe": _probe({"path": "/api/healthz", "port": _AGENT_PORT}, period=5, failures=10),
    }


def _environment(spec: ClusterSpec) -> list[Object]:
    """The groups are in a ConfigMap: a change of theirs changes no pod, which to KubeRay would be an upgrade."""
    references = {GROUPS_VARIABLE: ("configMapKeyRef", GROUPS_MAP), STATE_VARIABLE: ("secretKeyRef", STATE_SECRET)}
    return [
        *({"name": name, "value": value} for name, value in node_environment(spec).items()),
        *({"name": name, "valueFrom": {kind: reference(*of)}} for name, (kind, of) in references.items()),
    ]


def reference(name: str, key: str) -> Object:
    """To a key of a Secret or a ConfigMap."""
    return {"name": name, "key": key}


def _probe(get: Object, *, period: int, failures: int) -> Object:
    return {
        "httpGet": get,
        "initialDelaySeconds": 10,
        "timeoutSeconds": 5,
        "periodSeconds": period,
        "failureThreshold": failures,
    }


def _amounts(size: Size, memory: int) -> Object:
    """Requests are limits: of what is not asked for, a pod could be robbed."""
    return {"cpu": size.cpus, "memory": _quantity(memory), "ephemeral-storage": _quantity(size.disk)}


def _volumes(object_bytes: int) -> Object:
    shared = object_bytes + _SHARED_BYTES
    return {
        "volumes": [
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": _quantity(shared)}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "home", "emptyDir": {}},
            {"name": "data", "emptyDir": {}},
            {"name": "tls", "secret": {"secretName": TLS_SECRET, "optional": True}},
        ]
    }


def _quantity(num_bytes: int) -> str:
    """As Kubernetes writes it: whole GiB where it is, else MiB, rounded up."""
    mebibytes = -(-num_bytes // _MIB)
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"
