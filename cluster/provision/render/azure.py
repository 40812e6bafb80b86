"""``cluster/azure.yaml``."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.provision.document import Fields
from cluster.provision.machines import Machine
from cluster.provision.ray_up import Cloud, cloud_file
from cluster.provision.resources import disk_gib
from cluster.provision.section_rules import section_of
from cluster.provision.sections import AzureSection
from cluster.provision.spec import ClusterSpec, Group


def render(spec: ClusterSpec) -> Mapping[str, str]:
    """ConfigError when the specification has no section ``azure``."""
    section = section_of(spec, "azure", AzureSection)
    cloud = Cloud(
        name="azure",
        title="Azure",
        module="azure.mgmt.compute",
        provider=_provider(section),
        auth=_auth(section),
        environment={"AZURE_STORAGE_ACCOUNT_NAME": section.storage_account},
        head={"azure_arm_parameters": {"vmSize": section.head, **_parameters(section, spec.head.disk)}},
        shared=lambda group: {"azure_arm_parameters": _parameters(section, group.disk)},
        machine=_machine,
    )
    return {"azure.yaml": cloud_file(spec, section, cloud)}


def _provider(section: AzureSection) -> Fields:
    return {
        "location": section.location,
        "resource_group": section.resource_group,
        "subscription_id": section.subscription_id,
        "availability_zone": ",".join(section.zones),
        "msi_name": section.identity,
        "msi_resource_group": section.identity_resource_group,
        "cache_stopped_nodes": False,
        "use_internal_ips": section.use_internal_ips,
    }


def _auth(section: AzureSection) -> Fields:
    own = {"ssh_private_key": section.ssh_private_key, "ssh_public_key": section.ssh_public_key}
    return {"ssh_user": section.ssh_user, **(own if section.ssh_private_key else {})}


def _parameters(section: AzureSection, disk: int) -> Fields:
    """Of Ray's ARM template; Ray adds the user and his key."""
    image = section.image
    return {
        "imagePublisher": image.publisher,
        "imageOffer": image.offer,
        "imageSku": image.sku,
        "imageVersion": image.version,
        "osDiskSize": disk_gib(disk),
    }


def _machine(_group: Group, machine: Machine) -> Fields:
    """A spot machine costs at most what it costs on demand, which -1 says."""
    spot = {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}
    return {"azure_arm_parameters": {"vmSize": machine.instance_type, **(spot if machine.spot else {})}}
