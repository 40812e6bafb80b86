"""Nodes that are alike, before they exist, and what is common to the files that describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cluster.config.config_file import format_path
from models.errors import ConfigError
from models.hardware import Device, Node
from models.nodes import NODE_LABEL, check_names

Part = TypeVar("Part", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """``count`` nodes of one type; None is one node of exactly this name. The other fields are those of Node.

    ``is_named``: the operator names each of them, and starts it with that label. A cloud names nodes itself; one
    that is alone in its group can have a name there too, as a label of the group.
    """

    name: str
    count: int | None
    num_cpus: float
    memory_bytes: int
    gpu: Device | None = None
    num_devices: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    price_per_hour: float | None = None
    source: str = ""
    is_named: bool = True

    def nodes(self) -> Iterable[Node]:
        """Called ``gpu-0``, ``gpu-1`` and so on in a group ``gpu``, unless a label names them."""
        for name in self._names():
            yield Node(
                name=name,
                num_cpus=self.num_cpus,
                memory_bytes=self.memory_bytes,
                gpu=self.gpu,
                num_devices=self.num_devices,
                group=self.name,
                labels={**self.labels, NODE_LABEL: name} if self.is_named else self.labels,
                price_per_hour=self.price_per_hour,
                source=self.source,
            )

    def _names(self) -> list[str]:
        if self.count is None:
            return [self.name]
        return [self.labels.get(NODE_LABEL, f"{self.name}-{index}") for index in range(self.count)]


class Foreign(BaseModel):
    """A part of a file that is not ours: what is needed of it is checked, the rest is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def expand(groups: Iterable[NodeGroup]) -> tuple[Node, ...]:
    """The nodes of all groups, sorted by name. ConfigError when there is none, or two have one name."""
    nodes = [node for group in groups for node in group.nodes()]
    if not nodes:
        raise ConfigError("there is no node to plan on", remedy="give at least one")
    check_names(nodes)
    return tuple(sorted(nodes, key=lambda node: node.name))


def read_as(schema: type[Part], value: object, file: str) -> Part:
    """``value``, parsed from ``file``, as a ``schema``; ConfigError that names file, place and value."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = format_path(tuple(first["loc"]))
        given = "" if first["type"] == "missing" else f", not {first['input']!r}"
        raise ConfigError(f"{file}: {place}: {first['msg']}{given}", remedy="correct the file") from error
