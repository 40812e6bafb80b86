"""The nodes that a plan is made for, as an operator gives them on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from cluster.nodes.node_files import read_nodes_file
from cluster.nodes.node_groups import NodeGroup, expand
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import RAY_MEMORY_SHARE, UNBOUNDED_CPUS, Node, local_node_memory_bytes


def nodes_from_options(
    device: str | None = None,
    num_devices: int | None = None,
    node_memory: int | None = None,
    num_nodes: int | None = None,
    nodes_file: Path | None = None,
) -> tuple[Node, ...]:
    """The nodes of ``nodes_file``, or ``num_nodes`` (1) nodes with ``num_devices`` (1) GPUs of kind ``device``.

    None is an option that was not given. Without ``device`` they are CPU nodes. ``node_memory`` in bytes is what
    each offers to replicas; by default what a Ray node would offer on this machine. Without any option it is this
    machine with its CPUs; nodes that are made up have ``UNBOUNDED_CPUS``, because none were given.
    ConfigError when a file and other options are given, and for what the options or the file cannot mean.
    """
    values = (device, num_devices, node_memory, num_nodes)
    names = ("--device", "--num-devices", "--node-memory", "--num-nodes")
    given = [name for name, value in zip(names, values, strict=True) if value is not None]
    if nodes_file is None:
        return _made_up(device, num_devices, node_memory, num_nodes) if given else (this_machine(),)
    if given:
        raise ConfigError(f"--nodes {nodes_file} is given, and {', '.join(given)} too", remedy="leave one out")
    return read_nodes_file(nodes_file)


def this_machine() -> Node:
    """This machine as a node, if Ray were started on it now; its GPUs, if any, are not looked for."""
    return Node("this-machine", float(os.cpu_count() or 1), _memory_bytes(), source=_SOURCE)


_SOURCE = f"{RAY_MEMORY_SHARE:.0%} of this machine's available memory, as Ray would offer it"


def _made_up(
    device: str | None, num_devices: int | None, node_memory: int | None, num_nodes: int | None
) -> tuple[Node, ...]:
    if num_devices is not None and device is None:
        raise ConfigError(f"--num-devices is {num_devices}, but not of what", remedy="add --device h100-80gb")
    group = NodeGroup(
        name="node",
        count=1 if num_nodes is None else num_nodes,
        num_cpus=UNBOUNDED_CPUS,
        memory_bytes=_memory_bytes() if node_memory is None else node_memory,
        gpu=None if device is None else device_named(device, "--device"),
        num_devices=0 if device is None else num_devices or 1,
        source=_SOURCE if node_memory is None else "--node-memory",
    )
    return expand([group])


def _memory_bytes() -> int:
    try:
        return local_node_memory_bytes()
    except OSError as error:
        raise ConfigError(
            f"the memory of this machine is not known: {error}", remedy="give --node-memory"
        ) from error
