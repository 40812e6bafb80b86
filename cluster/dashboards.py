"""``stowage dashboards``: Grafana's dashboards, rendered, compared and pushed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.grafana.push import Push, carry_out, compare, differences, prepare
from cluster.grafana.settings import Settings
from cluster.grafana.wanted import DataSource, Rendered
from cluster.terminal.options import JsonOption
from cluster.terminal.render import print_json, print_table
from models.errors import ConfigError

if TYPE_CHECKING:
    from cluster.grafana.client import Grafana

_DEFAULTS = Settings()
_EXIT_DIFFERENT = 3

UrlOption = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", envvar="GRAFANA_URL", help="The Grafana, as https://grafana.example.org."
    ),
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="GRAFANA_TOKEN",
        help="Of a service account of Grafana. In the environment it stays out of the shell's history.",
    ),
]
FolderOption = Annotated[
    str, typer.Option("--folder", metavar="TITLE", help="The folder, created where it is missing.")
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", exists=True, dir_okay=False, help="Certificates that Grafana's is signed by."
    ),
]
RayOption = Annotated[
    str,
    typer.Option(
        "--ray-dashboard", metavar="URL", help="Where a browser finds Ray's dashboard, for the links to it."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite what somebody has changed by hand.")]


def dashboards_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Render Grafana's dashboards, compare and push them."
    )
    for command in (push, diff, render):
        group.command(command.__name__)(command)
    return group


def push(
    *,
    url: UrlOption = "",
    token: TokenOption = "",
    folder: FolderOption = "Stowage",
    datasource: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A Prometheus as Grafana reaches it: a data source that has to be there."
        ),
    ] = None,
    datasource_name: Annotated[str, typer.Option(metavar="NAME", help="Its name in Grafana.")] = "Prometheus",
    ray_dashboard: RayOption = _DEFAULTS.ray_dashboard,
    ca: CaOption = None,
    force: ForceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    show_diff: Annotated[bool, typer.Option("--diff", help="Show what changes, as a unified diff.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring all dashboards into a folder of a Grafana; what is as it should be is left alone.

    What somebody has changed by hand since the last push is refused, and nothing is done then.
    """
    grafana = _connect(url, token, ca)
    source = DataSource(datasource_name, datasource) if datasource else None
    wanted = prepare(grafana, folder, _rendered(ray_dashboard), source, force=force)
    if show_diff:
        typer.echo(differences(grafana, wanted.steps), nl=False)
    _show(wanted, as_json=as_json)
    if dry_run:
        wanted.check()
    else:
        carry_out(grafana, wanted)


def diff(
    *,
    url: UrlOption = "",
    token: TokenOption = "",
    ray_dashboard: RayOption = _DEFAULTS.ray_dashboard,
    ca: CaOption = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with {_EXIT_DIFFERENT} when anything differs.")
    ] = False,
) -> None:
    """Show what a Grafana has otherwise than it should be, by hand or by another release."""
    grafana = _connect(url, token, ca)
    found = differences(grafana, compare(grafana, _rendered(ray_dashboard)))
    typer.echo(found, nl=False)
    raise typer.Exit(_EXIT_DIFFERENT if exit_code and found else 0)


def render(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write one file for each dashboard.")],
    *,
    ray_dashboard: RayOption = _DEFAULTS.ray_dashboard,
) -> None:
    """Write the dashboards as JSON, for a Grafana that reads them from files."""
    output.mkdir(parents=True, exist_ok=True)
    for each in _rendered(ray_dashboard):
        (output / f"{each.uid}.json").write_text(each.text)
        typer.echo(output / f"{each.uid}.json")


def _rendered(ray_dashboard: str) -> Iterator[Rendered]:
    try:
        from cluster.grafana.boards.all import BOARDS  # noqa: PLC0415
        from cluster.grafana.sdk import render as render_one  # noqa: PLC0415  nobody else waits for the SDK
    except ImportError as error:
        raise _missing(error) from error
    settings = Settings(ray_dashboard.rstrip("/"))
    return (Rendered(board.uid, board.title, render_one(board, settings)) for board in BOARDS)


def _connect(url: str, token: str, ca: Path | None) -> Grafana:
    for given, option, variable in ((url, "--url", "GRAFANA_URL"), (token, "--token", "GRAFANA_TOKEN")):
        if not given:
            raise typer.BadParameter(f"{option} is missing, and {variable} is not set")
    try:
        from cluster.grafana.client import Grafana as Client  # noqa: PLC0415  nobody else waits for requests
    except ImportError as error:
        raise _missing(error) from error
    return Client(url, token, ca_file=str(ca) if ca else None)


def _missing(error: ImportError) -> ConfigError:
    package = (error.name or "").partition(".")[0]
    return ConfigError(f"dashboards need {package}, which is not installed", remedy="install the extra `grafana`")


def _show(wanted: Push, *, as_json: bool) -> None:
    rows = [(step.wanted.uid, step.wanted.title, str(step)) for step in wanted.steps]
    source = wanted.source
    if as_json:
        listed = [{"uid": uid, "title": title, "change": change} for uid, title, change in rows]
        found = {"name": source.wanted.name, "change": source.change} if source else None
        print_json({"folder": wanted.folder, "dashboards": listed, "datasource": found})
        return
    if wanted.folder_uid is None:
        typer.echo(f"folder {wanted.folder}: create")
    if source is not None:
        typer.echo(f"data source {source.wanted.name}: {source.change}")
    print_table(("dashboard", "title", "change"), rows)
