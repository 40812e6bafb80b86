"""Nodes of a KubeRay manifest: one for each pod of Ray, at the most that the groups may scale to.

A pod's resources are found where the KubeRay operator looks: ``resources`` of the group, ``rayStartParams``, then
the limits of its first container. The operator starts Ray with ``--memory`` at the container's whole limit, so all
of it is offered to replicas, not the 70% that Ray would choose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal

from pydantic import Field

from cluster.config.config_file import child
from cluster.nodes.cloud_accelerators import DEVICE_OF_CLOUD_NAME
from cluster.nodes.instance_types import instance_type
from cluster.nodes.node_groups import Foreign, NodeGroup, read_as
from models.devices import device_of_driver
from models.errors import ConfigError
from models.nodes import DEVICE_LABEL, gpu_of

# Where the specification of the cluster lies in a manifest of each kind.
KINDS: Mapping[str, tuple[str, ...]] = {
    "RayCluster": ("spec",),
    "RayService": ("spec", "rayClusterConfig"),
    "RayJob": ("spec", "rayClusterSpec"),
}
_GKE_LABEL = "cloud.google.com/gke-accelerator"
_PRODUCT_LABEL = "nvidia.com/gpu.product"
_INSTANCE_LABEL = "node.kubernetes.io/instance-type"
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?(?:[eE]\d+)?)(m|k|[MGTP]|[KMGTP]i)?")
_UNITS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    **{unit: Decimal(1000) ** (power + 2) for power, unit in enumerate("MGTP")},
    **{f"{unit}i": Decimal(1024) ** (power + 1) for power, unit in enumerate("KMGTP")},
}

Quantity = str | int | float


class _Resources(Foreign):
    limits: Mapping[str, Quantity] = {}
    requests: Mapping[str, Quantity] = {}


class _Container(Foreign):
    resources: _Resources = _Resources()


class _PodSpec(Foreign):
    containers: tuple[_Container, ...] = Field(min_length=1)
    node_selector: Mapping[str, str] = Field(default={}, alias="nodeSelector")


class _Template(Foreign):
    spec: _PodSpec


class _Group(Foreign):
    """The head's group, or one of workers."""

    name: str = Field(default="headgroup", alias="groupName")
    replicas: int | None = Field(default=None, ge=0)
    max_replicas: int | None = Field(default=None, alias="maxReplicas", ge=0)
    num_hosts: int = Field(default=1, alias="numOfHosts", gt=0)
    resources: Mapping[str, Quantity] = {}
    labels: Mapping[str, str] = {}
    ray_start_params: Mapping[str, Quantity] = Field(default={}, alias="rayStartParams")
    template: _Template

    @property
    def pod(self) -> _PodSpec:
        return self.template.spec


class _Cluster(Foreign):
    autoscaling: bool = Field(default=False, alias="enableInTreeAutoscaling")
    head: _Group = Field(alias="headGroupSpec")
    workers: tuple[_Group, ...] = Field(default=(), alias="workerGroupSpecs")


def kuberay_groups(file: str, document: object) -> list[NodeGroup]:
    """One group for the head and one for each worker group: ``maxReplicas`` with autoscaling, else ``replicas``.

    ConfigError for a pod without a limit of memory, and for GPUs that neither the group's label
    ``stowage.io/device`` nor the pod's ``nodeSelector`` makes known.
    """
    kind = str(child(document, "kind"))
    value = document
    for part in KINDS[kind]:
        value = child(value, part)
    read = read_as(_Cluster, value, f"{file}: {kind}.{'.'.join(KINDS[kind])}")
    head = _node_group(f"{file}: headGroupSpec", read.head, 1)
    workers = [
        _node_group(f"{file}: group {group.name}", group, _count(file, group, read.autoscaling))
        for group in read.workers
    ]
    return [head, *workers]


def parse_quantity(quantity: Quantity) -> Decimal:
    """``500m``, ``2`` or ``64Gi``; ValueError for what Kubernetes does not write so.

    Source: Kubernetes, "Resource units".
    """
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a Kubernetes quantity")
    return Decimal(match[1]) * _UNITS[match[2] or ""]


def _count(file: str, group: _Group, autoscaling: bool) -> int:
    field, replicas = ("maxReplicas", group.max_replicas) if autoscaling else ("replicas", group.replicas)
    if replicas is None:
        raise ConfigError(f"{file}: group {group.name} has no {field}", remedy=f"give {field}")
    return replicas * group.num_hosts


def _node_group(where: str, group: _Group, count: int) -> NodeGroup:
    limits, requests = group.pod.containers[0].resources.limits, group.pod.containers[0].resources.requests
    written, flags = group.resources, group.ray_start_params
    cpus = _first(written.get("CPU"), flags.get("num-cpus"), limits.get("cpu"), requests.get("cpu"))
    memory = _first(written.get("memory"), flags.get("memory"), limits.get("memory"))
    if cpus is None or memory is None:
        raise ConfigError(
            f"{where}: it is not said how many CPUs and bytes of memory Ray has in its pods",
            remedy="give the first container resources.limits of cpu and memory",
        )
    gpus = _first(written.get("GPU"), flags.get("num-gpus"), *_gpu_limits(limits))
    num_gpus = 0 if gpus is None else _whole(where, gpus)
    labels = {**_device_label(group.pod.node_selector), **group.labels}
    gpu = gpu_of(where, {"GPU": num_gpus}, labels)
    return NodeGroup(
        name=group.name,
        count=count,
        num_cpus=_whole(where, cpus),
        memory_bytes=_whole(where, memory),
        gpu=gpu,
        num_devices=num_gpus if gpu else 0,
        labels=labels,
        source="limits of the pod, all of which KubeRay offers to replicas",
        is_named=False,
    )


def _first(*quantities: Quantity | None) -> Quantity | None:
    return next((quantity for quantity in quantities if quantity is not None), None)


def _gpu_limits(limits: Mapping[str, Quantity]) -> list[Quantity]:
    """``nvidia.com/gpu`` and others whose names end so, as the operator looks for them."""
    return [quantity for name, quantity in limits.items() if name.endswith("gpu")]


def _whole(where: str, quantity: Quantity) -> int:
    """Rounded up, as the operator does."""
    try:
        return math.ceil(parse_quantity(quantity))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}", remedy="write it as 500m, 2 or 64Gi") from error


def _device_label(selector: Mapping[str, str]) -> Mapping[str, str]:
    """Our label, of what the pod's ``nodeSelector`` says of its GPUs; empty when it says nothing that is known."""
    product = device_of_driver(selector.get(_PRODUCT_LABEL, "").removesuffix("-SHARED"))
    machine = instance_type(selector.get(_INSTANCE_LABEL, ""))
    found = (
        DEVICE_OF_CLOUD_NAME.get(selector.get(_GKE_LABEL, "")),
        product.name if product else None,
        machine.device if machine else None,
    )
    return next(({DEVICE_LABEL: device} for device in found if device), {})
