"""What the sections of the providers have to say of the groups. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel

from cluster.config.config_file import Complaint, YamlPath
from cluster.config.schema_check import nearest
from cluster.nodes.cloud_accelerators import DEVICE_OF_CLOUD_NAME
from cluster.nodes.instance_types import InstanceType, instance_type
from cluster.provision.sections import CloudSection, GcpSection, KubeRaySection, OnPremSection
from cluster.provision.spec import ClusterSpec, Group, Size
from models.errors import ConfigError

Section = TypeVar("Section", bound=BaseModel)

# How each cloud writes the names of its machines.
_WRITTEN: Mapping[str, re.Pattern[str]] = {
    "aws": re.compile(r"[a-z0-9-]+\.[a-z0-9-]+"),
    "gcp": re.compile(r"[a-z0-9]+(-[a-z0-9]+)+"),
    "azure": re.compile(r"Standard_\w+"),
}


def section_of(spec: ClusterSpec, provider: str, kind: type[Section]) -> Section:
    """The section of ``provider``; ConfigError when the specification has none."""
    section = getattr(spec, provider)
    if not isinstance(section, kind):
        fields = ", ".join(name for name, info in kind.model_fields.items() if info.is_required())
        raise ConfigError(
            f"the specification of {spec.name} has no section {provider}", remedy=f"add {provider}: with {fields}"
        )
    return section


def broken_section_rules(spec: ClusterSpec) -> Iterator[Complaint]:
    """The complaints about every section that is there."""
    for provider in _WRITTEN:
        section = getattr(spec, provider)
        if isinstance(section, CloudSection):
            yield from _cloud(spec, provider, section)
    if isinstance(spec.gcp, GcpSection):
        yield from _unknown_groups(spec, ("gcp", "accelerators"), spec.gcp.accelerators)
    if isinstance(spec.onprem, OnPremSection):
        yield from _hosts(spec, spec.onprem)
    if isinstance(spec.kuberay, KubeRaySection):
        yield from _kuberay(spec, spec.kuberay)


def _unknown_groups(spec: ClusterSpec, path: YamlPath, named: Iterable[str]) -> Iterator[Complaint]:
    known = [group.name for group in spec.groups]
    for name in named:
        if name not in known:
            yield Complaint((*path, name), f"{name!r} is no group of this cluster; {nearest(name, known)}")


def _cloud(spec: ClusterSpec, provider: str, section: CloudSection) -> Iterator[Complaint]:
    path = (provider, "instance_types")
    yield from _unknown_groups(spec, path, section.instance_types)
    for group in spec.groups:
        if group.name not in section.instance_types:
            message = f"group {group.name} has no instance types here: list them, or write [] to go without it"
            yield Complaint(path, message)
    if not any(section.instance_types.values()):
        yield Complaint(path, "no group has a machine here: list the instance types of one at least")
    yield from _machine(provider, (provider, "head"), section.head, spec.head)
    for group in spec.groups:
        names = section.instance_types.get(group.name, ())
        added = section.accelerators.get(group.name) if isinstance(section, GcpSection) else None
        if len(set(names)) < len(names):
            yield Complaint((*path, group.name), f"{list(names)} names one instance type twice: leave one out")
        for index, name in enumerate(names):
            yield from _machine(provider, (*path, group.name, index), name, group, added)


def _machine(
    provider: str, path: YamlPath, name: str, size: Size, added: str | None = None
) -> Iterator[Complaint]:
    """Of an instance type that is not known or not what its group says. ``added``: the GPU that comes with it."""
    machine = instance_type(name) if _WRITTEN[provider].fullmatch(name) else None
    if machine is None:
        message = (
            f"{name!r} is no instance type of {provider} that is known: correct it, or add it to cluster/nodes/"
        )
        yield Complaint(path, message)
        return
    if machine.num_cpus < size.cpus or machine.memory_bytes < size.memory:
        has = f"{machine.num_cpus} CPUs and {machine.memory_bytes / 1024**3:g} GiB"
        message = f"{name} has {has}, less than the {size.cpus} CPUs and {size.memory.human_readable()} of a node"
        yield Complaint(path, f"{message}: take a larger one, or lower cpus or memory")
    yield from _gpus(path, machine, size, added)


def _gpus(path: YamlPath, machine: InstanceType, size: Size, added: str | None) -> Iterator[Complaint]:
    accelerator, count = (size.accelerator, size.gpus) if isinstance(size, Group) else (None, 0)
    if added is not None and machine.device is None:
        device, num_devices = DEVICE_OF_CLOUD_NAME.get(added), count
    else:
        device, num_devices = machine.device, machine.num_devices
    if (device, num_devices) != (accelerator, count):
        has = f"{num_devices} x {device}" if device else "no GPU that is known" if added else "no GPU"
        wanted = f"{count} x {accelerator}" if accelerator else "none"
        message = f"{machine.name} has {has}, but the nodes here are to have {wanted}: take another instance type"
        yield Complaint(path, message)


def _hosts(spec: ClusterSpec, section: OnPremSection) -> Iterator[Complaint]:
    known = {group.name: group for group in spec.groups}
    for index, host in enumerate(section.workers):
        yield from (
            Complaint(("onprem", "workers", index, "group"), complaint.message)
            for complaint in _unknown_groups(spec, (), [host.group])
        )
    addresses = Counter([section.head, *(host.address for host in section.workers)])
    names = Counter(host.name for host in section.workers)
    for index, host in enumerate(section.workers):
        for field, value, counts in (("address", host.address, addresses), ("name", host.name, names)):
            if counts[value] > 1:
                yield Complaint(("onprem", "workers", index, field), f"{value!r} is given {counts[value]} times")
    for name, count in Counter(host.group for host in section.workers).items():
        if name in known and count > known[name].max_nodes:
            message = (
                f"{count} machines are of group {name}, which has max_nodes {known[name].max_nodes}: raise it"
            )
            yield Complaint(("onprem", "workers"), message)


def _kuberay(spec: ClusterSpec, section: KubeRaySection) -> Iterator[Complaint]:
    yield from _unknown_groups(spec, ("kuberay", "node_selectors"), section.node_selectors)
    spot = [
        group.name for group in spec.groups if "spot" in group.markets and group.name in section.node_selectors
    ]
    if spot and not section.spot:
        message = f"{', '.join(spot)} may have spot nodes: say by which labels they are known there"
        yield Complaint(("kuberay", "spot"), message)
