"""The ``stowage`` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cluster.audit import audit_commands
from cluster.calibrate import calibrate
from cluster.dashboards import dashboards_commands
from cluster.diff import diff
from cluster.explain import explain
from cluster.keys import keys_commands
from cluster.models_commands import models_commands
from cluster.plan import plan
from cluster.provision_commands import cluster_commands
from cluster.rollout import rollout_commands
from cluster.serve import serve
from cluster.status import status
from cluster.usage import usage
from cluster.validate import validate
from models.errors import StowageError
from models.version import VERSION


def build_cli() -> typer.Typer:
    """The command with all its subcommands."""
    cli = typer.Typer(
        name="stowage",
        help="Many models behind one router, from one serve_config.yaml.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    cli.callback()(_options)
    cli.add_typer(models_commands(), name="models")
    cli.add_typer(keys_commands(), name="keys")
    cli.add_typer(audit_commands(), name="audit")
    cli.add_typer(rollout_commands(), name="rollout")
    cli.add_typer(dashboards_commands(), name="dashboards")
    cli.add_typer(cluster_commands(), name="cluster")
    for command in (validate, plan, diff, serve, status, explain, calibrate, usage):
        cli.command()(command)
    return cli


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stowage {VERSION}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What stands before the name of a subcommand."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Exit code 0: done; 1: it failed, and standard error says why; 2: wrong usage."""
    try:
        build_cli()(arguments, prog_name="stowage")
    except StowageError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
