"""A file for `ray up`: what is the same on every cloud. No field is left to a default of Ray's."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from cluster.provision.choices import CHOICES, merged
from cluster.provision.document import Fields, Part, document
from cluster.provision.environment import node_environment
from cluster.provision.machines import Machine, groups_of, machines_of
from cluster.provision.resources import node_group, ray_resources
from cluster.provision.sections import CloudSection
from cluster.provision.spec import ClusterSpec, Group
from cluster.provision.start_commands import (
    driver_check,
    head_commands,
    module_check,
    user_check,
    version_check,
    worker_commands,
)
from models.coming_nodes import GROUPS_VARIABLE, dump_groups

BOOTSTRAP_CONFIG = "--autoscaling-config=~/ray_bootstrap_config.yaml"
_TOKEN_FOLDER = "~/.ray"  # noqa: S105 - where Ray looks for its token
_CONTAINER = "stowage"


@dataclass(frozen=True, slots=True)
class Cloud:
    """What one cloud adds. ``module`` is what Ray speaks to it with, of the optional dependencies ``name``.

    ``head`` is the head's ``node_config``. ``shared`` gives what all machines of a group have in common,
    ``machine`` what one of them adds to that.
    """

    name: str
    title: str
    module: str
    provider: Fields
    auth: Fields
    environment: Mapping[str, str]
    head: Fields
    shared: Callable[[Group], Fields]
    machine: Callable[[Group, Machine], Fields]


def header(spec: ClusterSpec, name: str, title: str) -> str:
    """Says how the file is made."""
    return (
        f"The cluster {spec.name} on {title}, for `ray up`. Made by\n"
        f"  stowage cluster render {name} --spec cluster/cluster.yaml --output cluster/{name}.yaml\n"
        "Change cluster/cluster.yaml, not this file. docs/cluster.md says what is what."
    )


def cloud_file(spec: ClusterSpec, section: CloudSection, cloud: Cloud) -> str:
    """The whole file."""
    provider = {"type": "external", "module": f"cluster.provision.launch.{cloud.name}.Provider", **cloud.provider}
    parts = [
        sizes(spec),
        Part(_PROVIDER_COMMENT, {"provider": provider, "auth": dict(cloud.auth)}),
        docker(spec, spec.image.reference(gpu=False), _environment(spec, section, cloud)),
        Part(
            _TYPES_COMMENT, {"head_node_type": "head", "available_node_types": _node_types(spec, section, cloud)}
        ),
        files(spec),
        Part(
            "On the host, then in the container of every node, of the head, of the workers.",
            commands(spec, section.initialization_commands, [module_check(cloud.module, cloud.name)]),
        ),
        Part(
            _START_COMMENT,
            {
                "head_start_ray_commands": head_commands(spec, BOOTSTRAP_CONFIG),
                "worker_start_ray_commands": worker_commands(spec),
            },
        ),
        Part("Ray does not read this.", {"metadata": {"store": section.store}}),
    ]
    return document(header(spec, cloud.name, cloud.title), parts)


def _environment(spec: ClusterSpec, section: CloudSection, cloud: Cloud) -> dict[str, str]:
    groups = dump_groups([node_group(group) for group in groups_of(spec, section)])
    return node_environment(spec, {**cloud.environment, GROUPS_VARIABLE: groups})


def sizes(spec: ClusterSpec, max_workers: int | None = None) -> Part:
    """``max_workers``: fewer than the specification allows, where there are no more machines."""
    fields = {
        "cluster_name": spec.name,
        "max_workers": spec.max_workers if max_workers is None else max_workers,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": spec.idle_timeout_minutes,
    }
    return Part("max_workers is the budget: the most nodes beside the head.", fields)


def docker(spec: ClusterSpec, image: str, environment: Mapping[str, str], *more: str) -> Part:
    variables = [f"--env {name}={shlex.quote(value)}" for name, value in environment.items()]
    options = [
        "--ulimit nofile=65536:65536",
        f"--volume stowage-cache:{spec.image.home}/.stowage",
        *more,
        *variables,
    ]
    fields = {"image": image, "container_name": _CONTAINER, "pull_before_run": True, "run_options": options}
    comment = "Everything runs in this image. The volume keeps the weights that the node has read."
    return Part(comment, {"docker": fields})


def files(spec: ClusterSpec) -> Part:
    """The folder of the token: of a file that is mounted alone, a container keeps the old one when it changes."""
    fields = {
        "file_mounts": {_TOKEN_FOLDER: str(PurePosixPath(spec.token_file).parent)},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
    return Part("Ray's token: from this machine to the head, and from there to the workers.", fields)


def commands(spec: ClusterSpec, on_host: tuple[str, ...], on_head: list[str]) -> Fields:
    """Nothing is installed: the image has everything. What would fail later, without a reason, fails here."""
    return {
        "initialization_commands": [user_check(spec), *on_host],
        "setup_commands": [version_check(spec)],
        "head_setup_commands": on_head,
        "worker_setup_commands": [],
    }


def _on_gpu(spec: ClusterSpec, section: CloudSection) -> Fields:
    """A node type's own commands on the host stand for those of the file."""
    return {
        "docker": {"worker_image": spec.image.reference(gpu=True)},
        "initialization_commands": [user_check(spec), driver_check(), *section.initialization_commands],
    }


def _node_types(spec: ClusterSpec, section: CloudSection, cloud: Cloud) -> Fields:
    head = {"resources": {"CPU": 0}, "min_workers": 0, "max_workers": 0, "node_config": dict(cloud.head)}
    groups = {group.name: _node_type(spec, section, cloud, group) for group in groups_of(spec, section)}
    return {"head": head, **groups}


def _node_type(spec: ClusterSpec, section: CloudSection, cloud: Cloud, group: Group) -> Fields:
    timeout, on_gpu = group.idle_timeout_minutes, _on_gpu(spec, section) if group.gpus else {}
    machines = machines_of(group, section.instance_types[group.name])
    choices = [dict(cloud.machine(group, machine)) for machine in machines]
    return {
        "resources": ray_resources(group),
        "labels": group.node_labels,
        "min_workers": group.min_nodes,
        "max_workers": group.max_nodes,
        **({} if timeout is None else {"idle_timeout_s": timeout * 60}),
        **on_gpu,
        "node_config": {
            **merged(cloud.shared(group), choices[0]),
            **({CHOICES: choices} if len(choices) > 1 else {}),
        },
    }


_PROVIDER_COMMENT = """\
Ray's own provider, which also asks for the next machine of `choices` where the cloud refuses one. It needs the
packages of this repository, here and in the image."""
_TYPES_COMMENT = """\
One node type for each group. No replica runs on the head: it has no CPUs to give. The resources of a group are the
same whichever of its machines the cloud gives, so that a plan holds on all of them."""
_START_COMMENT = "`ray up` of Ray 2.60 starts version 2 of the autoscaler, which labels and `idle_timeout_s` need."
