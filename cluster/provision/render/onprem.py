"""``cluster/onprem.yaml``: machines that are there. Ray's provider for them is called ``local``.

It knows one node type, so what a machine has and to which group it belongs is told to Ray when it starts there.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster.provision.document import Fields, Part, document
from cluster.provision.environment import node_environment
from cluster.provision.ray_up import BOOTSTRAP_CONFIG, commands, docker, files, header, sizes
from cluster.provision.resources import ray_resources
from cluster.provision.section_rules import section_of
from cluster.provision.sections import OnPremHost, OnPremSection
from cluster.provision.spec import ClusterSpec, Group
from cluster.provision.start_commands import head_commands, worker_commands
from models.nodes import NODE_LABEL


def render(spec: ClusterSpec) -> Mapping[str, str]:
    """ConfigError when the specification has no section ``onprem``."""
    section = section_of(spec, "onprem", OnPremSection)
    auth = {"ssh_user": section.ssh_user, "ssh_private_key": section.ssh_private_key}
    parts = [
        sizes(spec, max_workers=len(section.workers)),
        Part(_PROVIDER_COMMENT, {"provider": _provider(section), "auth": auth}),
        _docker(spec, section),
        files(spec),
        Part(
            "On the host, then in the container of every node.",
            commands(spec, section.initialization_commands, []),
        ),
        Part(_START_COMMENT, _starts(spec, section)),
        Part("Ray does not read this: `stowage plan --nodes` does.", {"metadata": _metadata(spec, section)}),
    ]
    return {"onprem.yaml": document(header(spec, "onprem", "machines of your own"), parts)}


def _provider(section: OnPremSection) -> Fields:
    return {
        "type": "local",
        "head_ip": section.head,
        "worker_ips": [host.address for host in section.workers],
    }


def _docker(spec: ClusterSpec, section: OnPremSection) -> Part:
    """One image for all machines: the one for GPUs also runs without. A store in a folder is mounted."""
    gpu = any(spec.group(host.group).gpus for host in section.workers)
    folder = [f"--volume {section.store}:{section.store}"] if section.store.startswith("/") else []
    env_file = [f"--env-file {section.env_file}"] if section.env_file else []
    return docker(spec, spec.image.reference(gpu=gpu), node_environment(spec), *folder, *env_file)


def _starts(spec: ClusterSpec, section: OnPremSection) -> Fields:
    cases = [
        f'  *" {host.address} "*) options="{_options(spec.group(host.group), host)}" ;;'
        for host in section.workers
    ]
    choose = [
        'case " $(hostname -I) " in',
        *cases,
        '  *) echo "none of $(hostname -I) is a worker of cluster/cluster.yaml" >&2; exit 1 ;;',
        "esac",
    ]
    stop, start = worker_commands(spec, "$options")
    return {
        "head_start_ray_commands": head_commands(spec, "--num-cpus=0", BOOTSTRAP_CONFIG),
        "worker_start_ray_commands": [stop, "\n".join([*choose, start, ""])],
    }


def _options(group: Group, host: OnPremHost) -> str:
    labels = ",".join(f"{name}={value}" for name, value in _labels(group, host).items())
    flags = {"CPU": "num-cpus", "memory": "memory", "GPU": "num-gpus"}
    resources = (f"--{flags[name]}={count}" for name, count in ray_resources(group).items())
    return " ".join([*resources, f"--labels={labels}"])


def _labels(group: Group, host: OnPremHost) -> dict[str, str]:
    return {**group.node_labels, NODE_LABEL: host.name}


def _metadata(spec: ClusterSpec, section: OnPremSection) -> Fields:
    return {"store": section.store, "nodes": [_node(spec.group(host.group), host) for host in section.workers]}


def _node(group: Group, host: OnPremHost) -> Fields:
    """In our own form of nodes, docs/hardware.md."""
    resources = ray_resources(group)
    gpus = {"device": group.accelerator, "num_devices": group.gpus} if group.accelerator else {}
    return {"name": host.name, "num_cpus": resources["CPU"], "memory": resources["memory"], **gpus}


_PROVIDER_COMMENT = "Address of each machine, as the head reaches it."
_START_COMMENT = """\
Each machine finds its own address in the list, and with it what it has. All machines are wanted at all times."""
