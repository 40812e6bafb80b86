"""Which state database a command works on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.config.serve_config import load_config
from deployments.state.location import DEFAULT_STATE, state_url

if TYPE_CHECKING:
    from deployments.state.database import Database

StateOption = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="URL",
        help=f"The state database: sqlite:///PATH, postgresql://... or env:NAME. Default: {DEFAULT_STATE}",
    ),
]
StateConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The Serve config file whose router names it.")
]


def open_state(state: str | None, config: Path | None) -> Database:
    """The database that one of the options names, else the default one. To be closed by the caller. StateError."""
    from deployments.state.database import Database  # noqa: PLC0415  only what works on it waits for SQLAlchemy

    return Database.open(state_url(_location(state, config), os.environ))


def _location(state: str | None, config: Path | None) -> str:
    if state and config:
        raise typer.BadParameter("give --state or --config, not both")
    return load_config(config).router_args.state if config else state or DEFAULT_STATE
