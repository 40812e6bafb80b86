"""What each provider needs beyond the groups: where, as which machines, in which names and roles.

``instance_types`` lists for every group of the cluster the machines that may be its nodes, the preferred first; an
empty list says that the provider has no such group. Which role a node has decides what it may read: no credentials
are written anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from models.manifest import Frozen
from models.object_store import BUCKET_SCHEMES
from models.types import check_name

GroupName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
InstanceTypes = Mapping[GroupName, tuple[str, ...]]
Zones = Annotated[tuple[str, ...], Field(min_length=1)]


def _check_store(url: str) -> str:
    if not url.startswith((*BUCKET_SCHEMES, "/")):
        raise ValueError(f"{url!r} is no bucket ({', '.join(BUCKET_SCHEMES)}) and no absolute folder")
    return url


def _check_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no IP address: write it as 10.0.0.20") from error


Address = Annotated[str, AfterValidator(_check_address)]
StoreUrl = Annotated[str, AfterValidator(_check_store)]


class CloudSection(Frozen):
    """What the three clouds have in common. ``store`` is the model store, as in ``serve_config.yaml``.

    ``initialization_commands`` run on each host before its container, such as the login to a registry of images.
    """

    ssh_user: str = "ubuntu"
    initialization_commands: tuple[str, ...] = ()
    store: StoreUrl
    head: str
    instance_types: InstanceTypes


class AwsSection(CloudSection):
    """Amazon EC2.

    ``image``: an AMI with a driver for the GPUs and Docker, as its id or as ``resolve:ssm:PARAMETER``.
    ``key_name`` and ``ssh_private_key``: an existing key pair; without both Ray makes one. Without ``subnets`` Ray
    takes the default ones of ``zones``, without ``security_groups`` it makes one that lets SSH in from anywhere.
    """

    region: str
    zones: Zones
    image: Annotated[str, Field(pattern=r"^(ami-[0-9a-f]+|resolve:ssm:/.+)$")]
    head_instance_profile: str
    worker_instance_profile: str
    key_name: str | None = None
    ssh_private_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    use_internal_ips: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        elsewhere = [zone for zone in self.zones if not zone.startswith(self.region)]
        if elsewhere:
            raise ValueError(f"zones {', '.join(elsewhere)} are not in region {self.region}")
        if (self.key_name is None) != (self.ssh_private_key is None):
            raise ValueError("key_name and ssh_private_key belong together: give both, or none for a new key pair")
        return self


class GcpSection(CloudSection):
    """Google Compute Engine. Ray knows one zone for a cluster there.

    ``accelerators``: the name of the GPU that is added to a machine of a group, for machine types without GPUs of
    their own (``n1-standard-8`` with ``nvidia-tesla-t4``). ``image`` is the path of a boot image or its family.
    """

    project_id: str
    region: str
    zone: str
    image: Annotated[str, Field(pattern=r"^projects/[^/]+/global/images/.+$")]
    head_service_account: str
    worker_service_account: str
    accelerators: Mapping[GroupName, str] = {}
    use_internal_ips: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.zone.startswith(f"{self.region}-"):
            raise ValueError(f"zone {self.zone} is not in region {self.region}")
        return self


class AzureImage(Frozen):
    """A virtual machine image with a driver for the GPUs and Docker."""

    publisher: str
    offer: str
    sku: str
    version: str


class AzureSection(CloudSection):
    """Azure. ``identity`` is a user-assigned managed identity that is there already, for all nodes.

    ``storage_account`` has the store's container.
    """

    subscription_id: str
    storage_account: str
    resource_group: str
    location: str
    zones: Zones
    image: AzureImage
    identity: str
    identity_resource_group: str
    ssh_private_key: str | None = None
    ssh_public_key: str | None = None
    use_internal_ips: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.ssh_private_key is None) != (self.ssh_public_key is None):
            raise ValueError("ssh_private_key and ssh_public_key belong together: give both, or none")
        return self


class OnPremHost(Frozen):
    """One machine: its address as the head reaches it, the group it belongs to, and its name in plans."""

    address: Address
    group: GroupName
    name: Annotated[str, AfterValidator(check_name)]


class OnPremSection(Frozen):
    """Machines that are there. ``env_file``: on each of them a file for ``docker run --env-file`` with the model
    store's credentials, which a bucket needs where no role gives them.
    """

    ssh_user: str
    ssh_private_key: str
    initialization_commands: tuple[str, ...] = ()
    store: StoreUrl
    head: Address
    workers: Annotated[tuple[OnPremHost, ...], Field(min_length=1)]
    env_file: str | None = None


class KubeRaySection(Frozen):
    """Kubernetes with the KubeRay operator: what ``cluster/kuberay/`` does not say by itself.

    ``node_selectors``: by group the labels of the Kubernetes nodes that its pods are for; a group that is not
    named has no pods there. ``spot``: the labels that spot nodes have there, and their taints, if they have any.
    ``drain_seconds``: how long a pod that is to end may take to hand its replicas on. ``old_cluster_seconds``:
    how long the old cluster of an upgrade goes on with what it has begun.
    """

    node_selectors: Annotated[Mapping[GroupName, Mapping[str, str]], Field(min_length=1)]
    spot: Mapping[str, str] = {}
    drain_seconds: Annotated[int, Field(ge=0)] = 120
    old_cluster_seconds: Annotated[int, Field(ge=0)] = 600
    image_pull_policy: Literal["IfNotPresent", "Always"] = "IfNotPresent"
