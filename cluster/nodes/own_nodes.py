"""Nodes in our own short form.

::

    nodes:
      - {name: gpu, count: 2, device: h100-80gb, num_devices: 8, memory: 900GiB, num_cpus: 96, price_per_hour: 40}
      - {name: cpu, memory: 56GiB, num_cpus: 16}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, ByteSize, Field, model_validator

from cluster.config.config_file import ConfigFile, Problem
from cluster.config.schema_check import schema_complaints
from cluster.nodes.node_groups import NodeGroup
from models.devices import device_named
from models.errors import ConfigError
from models.manifest import Frozen, Name


def _device_name(value: str) -> str:
    try:
        return device_named(value).name
    except ConfigError as error:
        raise ValueError(str(error)) from error


class OwnNode(Frozen):
    """One entry: a node of this name, or ``count`` nodes ``name-0``, ``name-1`` and so on.

    ``memory`` is what each offers to replicas (Ray's resource ``memory``), ``device`` a name of the device table,
    of which each has ``num_devices``. ``price_per_hour`` is of one node, in any currency.
    """

    name: Name
    count: int | None = Field(default=None, ge=0)
    num_cpus: float = Field(gt=0)
    memory: Annotated[ByteSize, Field(gt=0)]
    device: Annotated[str, AfterValidator(_device_name)] | None = None
    num_devices: int = Field(default=1, gt=0)
    price_per_hour: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check_devices(self) -> Self:
        if self.device is None and "num_devices" in self.model_fields_set:
            raise ValueError(f"num_devices is {self.num_devices}, but device does not say of what kind")
        return self


class OwnNodes(Frozen):
    """The whole file."""

    nodes: tuple[OwnNode, ...]


def own_groups(file: str, config: ConfigFile) -> list[NodeGroup]:
    """One group for each entry. ConfigError names everything that is wrong, with its line."""
    problems = config.complaints or [config.problem(each) for each in schema_complaints(config.value, OwnNodes)]
    if problems:
        raise _refusal(file, problems)
    return [_group(file, entry) for entry in OwnNodes.model_validate(config.value).nodes]


def _group(file: str, entry: OwnNode) -> NodeGroup:
    return NodeGroup(
        name=entry.name,
        count=entry.count,
        num_cpus=entry.num_cpus,
        memory_bytes=int(entry.memory),
        gpu=None if entry.device is None else device_named(entry.device),
        num_devices=0 if entry.device is None else entry.num_devices,
        price_per_hour=entry.price_per_hour,
        source=file,
    )


def _refusal(file: str, problems: Sequence[Problem]) -> ConfigError:
    lines = [f"{file}:{problem.line}: {problem.path}: {problem.message}" for problem in problems]
    return ConfigError("\n".join(lines), remedy="docs/hardware.md describes the fields")
