"""A cluster, said once for every provider: ``cluster/cluster.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field

from cluster.provision.sections import (
    AwsSection,
    AzureSection,
    GcpSection,
    GroupName,
    KubeRaySection,
    OnPremSection,
)
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Device
from models.manifest import Frozen
from models.nodes import DEVICE_LABEL, GROUP_LABEL

Market = Literal["on-demand", "spot"]
Bytes = Annotated[ByteSize, Field(gt=0)]
Minutes = Annotated[float, Field(gt=0)]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")
_LABEL_NAME = re.compile(rf"([a-zA-Z0-9.-]{{1,253}}/)?{_LABEL.pattern}")
_OWN_LABELS = (DEVICE_LABEL, GROUP_LABEL)


def _check_device(name: str) -> str:
    try:
        return device_named(name).name
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _check_reference(text: str) -> str:
    if text == "latest":
        raise ValueError("'latest' is another image tomorrow: give a version, or a digest as sha256:...")
    return text


def _check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    wrong = [name for name in labels if name in _OWN_LABELS or name.startswith("ray.io/")]
    if wrong:
        raise ValueError(f"labels {', '.join(wrong)} are set from the group itself: leave them out")
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name) or not _LABEL.fullmatch(value):
            raise ValueError(f"{name}={value} is no label of Ray: both are letters, digits, -, _ and ., up to 63")
    return labels


Reference = Annotated[str, Field(min_length=1), AfterValidator(_check_reference)]


class Image(Frozen):
    """The container image of all nodes, for machines without GPUs and with: tags, or digests as ``sha256:...``.

    ``uid`` and ``home`` are those of the image's user. `ray up` shares files with it from the host, so the host's
    SSH user needs the same id.
    """

    repository: str
    cpu: Reference
    gpu: Reference
    uid: Annotated[int, Field(gt=0)] = 1000
    home: Annotated[str, Field(pattern="^/")] = "/home/stowage"

    def reference(self, *, gpu: bool) -> str:
        """As container engines write it."""
        which = self.gpu if gpu else self.cpu
        return f"{self.repository}{'@' if _DIGEST.fullmatch(which) else ':'}{which}"


class Size(Frozen):
    """What Ray has on a node: CPUs, and memory of replicas and of Ray's objects together. ``disk`` holds the
    image, the weights that are read through a cache, and objects that Ray spills.

    The machine has to have more: its system, and Kubernetes on it, take some.
    """

    cpus: Annotated[int, Field(gt=0)]
    memory: Bytes
    disk: Bytes


class Group(Size):
    """Nodes that are alike: from ``min_nodes`` to ``max_nodes`` of them, as many as replicas ask for.

    ``accelerator`` is a name of the device table, of which each node has ``gpus``. ``markets`` says how nodes are
    bought, the preferred way first. ``idle_timeout_minutes`` goes before the cluster's.
    """

    name: GroupName
    accelerator: Annotated[str, AfterValidator(_check_device)] | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    min_nodes: Annotated[int, Field(ge=0)] = 0
    max_nodes: Annotated[int, Field(gt=0)]
    markets: Annotated[tuple[Market, ...], Field(min_length=1)] = ("on-demand",)
    idle_timeout_minutes: Minutes | None = None
    labels: Annotated[Mapping[str, str], AfterValidator(_check_labels)] = {}

    @property
    def device(self) -> Device | None:
        return None if self.accelerator is None else device_named(self.accelerator)

    @property
    def node_labels(self) -> dict[str, str]:
        """The labels of its nodes in Ray, by which plans and placements know them."""
        device = {} if self.accelerator is None else {DEVICE_LABEL: self.accelerator}
        return {GROUP_LABEL: self.name, **device, **self.labels}


class ClusterSpec(Frozen):
    """One cluster. ``cluster.provision.spec_file`` reads it and checks what its parts ask of each other.

    ``max_workers`` is the budget: never more nodes than that beside the head, whatever is asked for.
    ``token_file`` is where Ray's token lies on the operator's machine, in a folder of its own, which is copied to
    the nodes; the token is in no file that is made of this.
    ``spill_directory``: where Ray puts objects that do not fit its memory, in the container.
    ``environment`` is added to that of every node's Ray, and goes before the settings of ``stowage serve``.
    """

    name: GroupName
    ray_version: str
    image: Image
    head: Size
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    max_workers: Annotated[int, Field(gt=0)]
    idle_timeout_minutes: Minutes = 10
    token_file: Annotated[str, Field(pattern="^[~/].*/auth_token$")] = "~/.ray/auth_token"  # noqa: S105 - the place, not the token
    spill_directory: Annotated[str, Field(pattern="^/")] = "/tmp/ray-spill"  # noqa: S108
    environment: Mapping[str, str] = {}
    aws: AwsSection | None = None
    gcp: GcpSection | None = None
    azure: AzureSection | None = None
    onprem: OnPremSection | None = None
    kuberay: KubeRaySection | None = None

    def group(self, name: str) -> Group:
        """KeyError when there is none."""
        return next(group for group in self.groups if group.name == name)
