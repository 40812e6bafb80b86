"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_size(text: str) -> int:
    """Bytes of ``16GiB``, written as sizes are in the configuration; a usage error for what is no size."""
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"{text!r} is not a size: write it as 16GiB") from error
    if size <= 0:
        raise typer.BadParameter(f"{text!r} is no memory at all")
    return int(size)


def read_duration(text: str) -> float:
    """Seconds of ``90d``, ``24h``, ``5m`` or ``30s``; a usage error for what is no duration."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration: write it as 30s, 5m, 24h or 90d")
    return float(match[1]) * _SECONDS[match[2]]


def read_share(text: str) -> float:
    """0.01 of ``1%`` or ``0.01``; a usage error for what is no share."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"{text!r} is no share of a whole: write it as 1% or 0.01")
    return share


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="A Serve config file: serve_config.yaml.")]

# On which nodes a plan is made. Without any of them: on this machine.
NodesOption = Annotated[
    Path | None,
    typer.Option(
        "--nodes", metavar="FILE", help="The nodes: a list of them, a `ray up` file, or a KubeRay manifest."
    ),
]
AddressOption = Annotated[
    str | None, typer.Option(metavar="URL", help="The nodes of the cluster with this Ray dashboard.")
]
DeviceOption = Annotated[str | None, typer.Option(metavar="NAME", help="Nodes with this GPU, as h100-80gb.")]
NumDevicesOption = Annotated[int | None, typer.Option(min=1, help="GPUs of each node. Default: 1.")]
NodeMemoryOption = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=read_size,
        help="Memory that one node offers to replicas, as 16GiB. Default: this machine's.",
    ),
]
NumNodesOption = Annotated[int | None, typer.Option(min=1, help="Nodes that are alike. Default: 1.")]


class ReplicaCount(StrEnum):
    """At which end of its replica range each model is planned."""

    MIN = "min"
    MAX = "max"


AtOption = Annotated[ReplicaCount, typer.Option(help="Plan each model at its fewest or its most replicas.")]
