"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError


def read_size(text: str) -> int:
    """Bytes of ``16GiB``, written as sizes are in the configuration; a usage error for what is no size."""
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"{text!r} is not a size: write it as 16GiB") from error
    if size <= 0:
        raise typer.BadParameter(f"{text!r} is no memory at all")
    return int(size)


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="A Serve config file: serve_config.yaml.")]
