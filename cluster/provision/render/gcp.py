"""``cluster/gcp.yaml``."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.provision.document import Fields
from cluster.provision.machines import Machine
from cluster.provision.ray_up import Cloud, cloud_file
from cluster.provision.resources import disk_gib
from cluster.provision.section_rules import section_of
from cluster.provision.sections import GcpSection
from cluster.provision.spec import ClusterSpec, Group

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"  # the roles of the service account decide
_SPOT: Fields = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE", "automaticRestart": False}


def render(spec: ClusterSpec) -> Mapping[str, str]:
    """ConfigError when the specification has no section ``gcp``."""
    section = section_of(spec, "gcp", GcpSection)
    cloud = Cloud(
        name="gcp",
        title="Google Compute Engine",
        module="googleapiclient",
        provider=_provider(section),
        auth={"ssh_user": section.ssh_user},
        environment={},
        head={
            "machineType": section.head,
            **_instance(section, spec.head.disk, section.head_service_account),
        },
        shared=lambda group: _worker(section, group),
        machine=_machine,
    )
    return {"gcp.yaml": cloud_file(spec, section, cloud)}


def _provider(section: GcpSection) -> Fields:
    return {
        "region": section.region,
        "availability_zone": section.zone,
        "project_id": section.project_id,
        "cache_stopped_nodes": False,
        "use_internal_ips": section.use_internal_ips,
    }


def _instance(section: GcpSection, disk: int, account: str) -> Fields:
    """What `instances.insert` takes; Ray adds name, labels and network."""
    boot = {
        "diskSizeGb": str(disk_gib(disk)),
        "sourceImage": section.image,
        "diskType": f"projects/{section.project_id}/zones/{section.zone}/diskTypes/pd-balanced",
    }
    return {
        "disks": [{"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": boot}],
        "serviceAccounts": [{"email": account, "scopes": [_SCOPE]}],
    }


def _worker(section: GcpSection, group: Group) -> Fields:
    """The image installs the driver of the GPUs when it starts for the first time."""
    added = section.accelerators.get(group.name)
    accelerators = [{"acceleratorType": added, "acceleratorCount": group.gpus}]
    driver = {"items": [{"key": "install-nvidia-driver", "value": "True"}]}
    return {
        **_instance(section, group.disk, section.worker_service_account),
        **({"metadata": driver} if group.gpus else {}),
        **({"guestAccelerators": accelerators} if added else {}),
    }


def _machine(group: Group, machine: Machine) -> Fields:
    """Machines with GPUs cannot move to another host, so they have to end when theirs is maintained."""
    scheduling = {**({"onHostMaintenance": "TERMINATE"} if group.gpus else {}), **(_SPOT if machine.spot else {})}
    return {"machineType": machine.instance_type, **({"scheduling": scheduling} if scheduling else {})}
