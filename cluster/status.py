"""``stowage status``: the live models."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from cluster.dashboard import DEFAULT_ADDRESS, Dashboard, LiveApplication, read_token
from cluster.options import JsonOption
from cluster.render import print_json, print_table
from models.memory import format_bytes
from models.types import VersionId


def status(
    address: Annotated[
        str, typer.Option(envvar="RAY_DASHBOARD_ADDRESS", help="Ray's dashboard, as http://host:port.")
    ] = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Show what is live: applications, versions, replicas, state and the reason for it.

    Asks Ray's dashboard. For a cluster with token authentication the token is looked for where Ray itself
    looks: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.
    """
    applications = Dashboard(address, read_token(os.environ, Path.home())).applications()
    if as_json:
        print_json([_as_json(app) for app in applications])
    elif not applications:
        typer.echo(f"No application runs on {address}.")
    else:
        columns = ("application", "model", "version", "state", "replicas", "planned", "reason")
        print_table(columns, [_row(app) for app in applications], right=("replicas", "planned"))


def _row(app: LiveApplication) -> tuple[str, ...]:
    version = _version(app)
    return (
        app.name,
        version.name if version else "-",
        version.version if version else "-",
        app.state,
        f"{app.num_running}/{app.num_target}",
        format_bytes(app.planned_bytes) if app.planned_bytes is not None else "-",
        app.reason or "",
    )


def _as_json(app: LiveApplication) -> dict[str, object]:
    version = _version(app)
    names = {"model": version and version.name, "version": version and version.version}
    return {**dataclasses.asdict(app), **names}


def _version(app: LiveApplication) -> VersionId | None:
    """The version that an application serves; the router and applications of others serve none."""
    try:
        return VersionId.parse(app.name)
    except ValueError:
        return None
