"""``cluster/aws.yaml``."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.provision.document import Fields
from cluster.provision.machines import Machine
from cluster.provision.ray_up import Cloud, cloud_file
from cluster.provision.resources import disk_gib
from cluster.provision.section_rules import section_of
from cluster.provision.sections import AwsSection
from cluster.provision.spec import ClusterSpec, Group


def render(spec: ClusterSpec) -> Mapping[str, str]:
    """ConfigError when the specification has no section ``aws``."""
    section = section_of(spec, "aws", AwsSection)
    cloud = Cloud(
        name="aws",
        title="Amazon EC2",
        module="boto3",
        provider=_provider(section),
        auth=_auth(section),
        environment={"AWS_REGION": section.region},
        head={
            "InstanceType": section.head,
            **_instance(section, spec.head.disk, section.head_instance_profile),
        },
        shared=lambda group: _instance(section, group.disk, section.worker_instance_profile),
        machine=_machine,
    )
    return {"aws.yaml": cloud_file(spec, section, cloud)}


def _provider(section: AwsSection) -> Fields:
    """Zones in the order in which they are tried for each machine. Nodes end when they stop: none is kept."""
    return {
        "region": section.region,
        "availability_zone": ",".join(section.zones),
        "cache_stopped_nodes": False,
        "use_internal_ips": section.use_internal_ips,
    }


def _auth(section: AwsSection) -> Fields:
    key = {"ssh_private_key": section.ssh_private_key} if section.ssh_private_key else {}
    return {"ssh_user": section.ssh_user, **key}


def _instance(section: AwsSection, disk: int, profile: str) -> Fields:
    """What RunInstances takes, and Ray's ``SubnetIds``. Instance metadata needs a session token."""
    volume = {"VolumeSize": disk_gib(disk), "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    return {
        "ImageId": section.image,
        "IamInstanceProfile": {"Name": profile},
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": volume}],
        "MetadataOptions": {"HttpTokens": "required"},
        **({"KeyName": section.key_name} if section.key_name else {}),
        **({"SubnetIds": list(section.subnets)} if section.subnets else {}),
        **({"SecurityGroupIds": list(section.security_groups)} if section.security_groups else {}),
    }


def _machine(_group: Group, machine: Machine) -> Fields:
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if machine.spot else {}
    return {"InstanceType": machine.instance_type, **spot}
