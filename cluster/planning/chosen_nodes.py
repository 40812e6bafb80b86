"""On which nodes a plan is made: those of a file, of options, of a live cluster, or this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.live.dashboard import Dashboard, read_token
from cluster.nodes.given import nodes_from_options
from deployments.args import ModelArgs
from models.errors import ConfigError
from models.hardware import Node


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """The options of a command as given; None is one that was not."""

    nodes_file: Path | None = None
    address: str | None = None
    device: str | None = None
    num_devices: int | None = None
    node_memory: int | None = None
    num_nodes: int | None = None

    @property
    def describe_nodes(self) -> bool:
        """Whether any option but the address says something of the nodes."""
        made_up = (self.device, self.num_devices, self.node_memory, self.num_nodes)
        return self.nodes_file is not None or any(option is not None for option in made_up)


def choose_nodes(options: NodeOptions, models: Iterable[ModelArgs]) -> tuple[Node, ...]:
    """The nodes that ``options`` mean. Where they say nothing, the largest ``node_memory`` of ``models`` counts.

    ConfigError for options that contradict each other, StowageError when a live cluster does not tell.
    """
    if options.address is not None:
        if options.describe_nodes:
            raise ConfigError(
                f"--address {options.address} names a live cluster, and other options describe other nodes",
                remedy="give --address alone, or leave it out",
            )
        return Dashboard(options.address, read_token(os.environ, Path.home())).nodes()
    declared = [int(args.node_memory) for args in models if args.node_memory is not None]
    node_memory = options.node_memory
    if not options.describe_nodes:
        node_memory = max(declared, default=None)
    return nodes_from_options(
        options.device, options.num_devices, node_memory, options.num_nodes, options.nodes_file
    )
