"""Nodes of a ``ray up`` cluster file, at the most that it may scale to. Reference: Ray's "Cluster YAML" page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from cluster.nodes.cloud_accelerators import DEVICE_OF_CLOUD_NAME
from cluster.nodes.instance_types import InstanceType, instance_type
from cluster.nodes.node_groups import Foreign, NodeGroup, read_as
from models.errors import ConfigError
from models.hardware import RAY_MEMORY_SHARE
from models.nodes import DEVICE_LABEL, gpu_of

_DEFAULT_MAX_WORKERS = 2  # Ray's own, of the whole file


class _GuestAccelerator(Foreign):
    """Google Cloud's way to add GPUs to a machine: the last part of the type's path is its name."""

    accelerator_type: str = Field(alias="acceleratorType")
    accelerator_count: int = Field(alias="acceleratorCount", gt=0)


class _ArmParameters(Foreign):
    vm_size: str | None = Field(default=None, alias="vmSize")


class _NodeConfig(Foreign):
    """What the three clouds call the instance type."""

    instance_type: str | None = Field(default=None, alias="InstanceType")
    machine_type: str | None = Field(default=None, alias="machineType")
    azure: _ArmParameters = Field(default=_ArmParameters(), alias="azure_arm_parameters")
    accelerators: tuple[_GuestAccelerator, ...] = Field(default=(), alias="guestAccelerators")

    @property
    def type_name(self) -> str | None:
        return self.instance_type or self.machine_type or self.azure.vm_size


class _NodeType(Foreign):
    node_config: _NodeConfig = _NodeConfig()
    resources: Mapping[str, float] = {}
    labels: Mapping[str, str] = {}
    max_workers: int | None = Field(default=None, ge=0)


class _RayUp(Foreign):
    available_node_types: Mapping[str, _NodeType] = Field(min_length=1)
    head_node_type: str
    max_workers: int = Field(default=_DEFAULT_MAX_WORKERS, ge=0)


def ray_up_groups(file: str, document: object) -> list[NodeGroup]:
    """One group for each node type: the head once, workers as often as ``max_workers`` lets them be.

    ``resources`` and ``labels`` of a node type go before what is known of its instance type. ConfigError for an
    instance type that is not known, and where the node types together may have more workers than the file allows,
    since it is then not certain which there will be.
    """
    read = read_as(_RayUp, document, file)
    num_workers = {name: _max_workers(read, name) for name in read.available_node_types}
    _check(file, read, num_workers)
    return [
        _group(file, name, node_type, num_workers[name] + (name == read.head_node_type))
        for name, node_type in read.available_node_types.items()
    ]


def _check(file: str, read: _RayUp, num_workers: Mapping[str, int]) -> None:
    if read.head_node_type not in num_workers:
        raise ConfigError(
            f"{file}: head_node_type is {read.head_node_type!r}, which is no node type of the file",
            remedy=f"write one of {', '.join(num_workers)}",
        )
    if sum(num_workers.values()) > read.max_workers:
        written = " + ".join(f"{count} {name}" for name, count in num_workers.items() if count)
        raise ConfigError(
            f"{file}: max_workers is {read.max_workers}, but the node types allow {written}",
            remedy="make both alike, so that it is certain which nodes there can be",
        )


def _max_workers(read: _RayUp, name: str) -> int:
    """Of one node type; by Ray's defaults none of the head's, and of another as many as the whole file allows."""
    given = read.available_node_types[name].max_workers
    if given is None:
        return 0 if name == read.head_node_type else read.max_workers
    return min(given, read.max_workers)


def _group(file: str, name: str, node_type: _NodeType, count: int) -> NodeGroup:
    where = f"{file}: available_node_types.{name}"
    known = _known_type(node_type.node_config, where)
    resources = {**(_resources(known) if known else {}), **node_type.resources}
    missing = [resource for resource in ("CPU", "memory") if resource not in resources]
    if missing:
        raise _unknown_type(where, node_type.node_config.type_name, missing)
    labels = {**({DEVICE_LABEL: known.device} if known and known.device else {}), **node_type.labels}
    gpu = gpu_of(where, resources, labels)
    return NodeGroup(
        name=name,
        count=count,
        num_cpus=resources["CPU"],
        memory_bytes=int(resources["memory"]),
        gpu=gpu,
        num_devices=int(resources["GPU"]) if gpu else 0,
        labels=labels,
        source=_source(known, node_type.resources),
        is_named=False,
    )


def _known_type(config: _NodeConfig, where: str) -> InstanceType | None:
    """The instance type with the GPUs that were added to it; None when it is not known."""
    known = instance_type(config.type_name) if config.type_name else None
    if known is None or not config.accelerators:
        return known
    (added, *others) = config.accelerators
    device = DEVICE_OF_CLOUD_NAME.get(added.accelerator_type.rpartition("/")[2])
    if device is None or others:
        raise ConfigError(
            f"{where}: guestAccelerators are {[each.accelerator_type for each in config.accelerators]}, "
            "of which the memory is not known",
            remedy=f"give {' or '.join(sorted(DEVICE_OF_CLOUD_NAME))}, one kind for a node",
        )
    return replace(known, device=device, num_devices=added.accelerator_count)


def _resources(known: InstanceType) -> dict[str, float]:
    """As Ray's autoscaler derives them from the instance type."""
    gpus = {"GPU": known.num_devices} if known.num_devices else {}
    return {"CPU": known.num_cpus, "memory": int(known.memory_bytes * RAY_MEMORY_SHARE), **gpus}


def _source(known: InstanceType | None, written: Mapping[str, float]) -> str:
    if "memory" in written or known is None:
        return "resources of the node type"
    return f"{RAY_MEMORY_SHARE:.0%} of the memory of {known.name}, as Ray offers it"


def _unknown_type(where: str, type_name: str | None, missing: list[str]) -> ConfigError:
    return ConfigError(
        f"{where} does not say its {' and '.join(missing)}, and instance type {type_name!r} is not known",
        remedy="give the node type `resources:` with CPU and memory (in bytes), and for GPUs also GPU and "
        f"the label {DEVICE_LABEL}",
    )
