"""``stowage audit``: check, watch and prune the journal of one node."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cluster.actor import actor
from cluster.audit_lines import format_record
from cluster.config.serve_config import load_config
from cluster.state_location import StateOption, open_state
from cluster.terminal.options import JsonOption
from cluster.terminal.render import print_json, print_table
from deployments.audit.location import DEFAULT_AUDIT_DIR, audit_folder
from deployments.audit.reader import Cursor
from deployments.audit.record import Record, RequestRecord, encode_record
from deployments.audit.retention import Retention
from deployments.audit.shadow_report import ShadowComparison, compare_shadows
from deployments.audit.tail import Tail
from deployments.audit.verify import Report, verify

_FOLLOW_PERIOD_S = 0.5
_SHOWN = 20
_SHADOW_COLUMNS = ("original", "shadow", "copies", "failed", "agreed", "latency ratio")

FolderArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FOLDER",
        help=f"The router's audit_dir on this node. Default: {DEFAULT_AUDIT_DIR}",
        show_default=False,
    ),
]

FolderConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The Serve config file whose router names the folder."),
]
AnchorConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The Serve config file whose router names folder and database."),
]
AnchorOption = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="URL",
        help="The state database to hold it against: sqlite:///PATH, postgresql://... or env:NAME. Without this "
        "and --config none is asked.",
    ),
]


def audit_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, watch and prune the audit log.")
    group.command("verify")(verify_journal)
    group.command("tail")(tail)
    group.command("shadows")(shadows)
    group.command("prune")(prune)
    return group


def verify_journal(
    folder: FolderArgument = None,
    *,
    state: AnchorOption = None,
    config: AnchorConfigOption = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="No other node has a part of it: what was counted must be here.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that no line was changed, removed, added or moved since it was written.

    With --state or --config the database says how far it has counted, so that a missing end is found too.

    Exit code: 0 when all is as it was written, 1 when it is not.
    """
    place = _folder(folder, config)
    anchors = _anchors(state, config) if state or config else {}
    report = verify(place, anchors.values(), is_whole=whole)
    if as_json:
        print_json({"intact": report.is_intact, "folder": place, **dataclasses.asdict(report)})
    else:
        _show(report, place, is_anchored=bool(state or config))
    raise typer.Exit(0 if report.is_intact else 1)


def tail(
    folder: FolderArgument = None,
    *,
    config: FolderConfigOption = None,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the newest.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the newest records of all writers, oldest first; --json: one object a line."""
    newest = Tail(_folder(folder, config))
    _print(newest.last(count), as_json=as_json)
    while follow:
        time.sleep(_FOLLOW_PERIOD_S)
        _print(newest.more(), as_json=as_json)


def shadows(
    folder: FolderArgument = None, *, config: FolderConfigOption = None, as_json: JsonOption = False
) -> None:
    """Compare shadow copies with the requests that they copy: failures, agreement, time in the replica."""
    parts = iter(Tail(_folder(folder, config)).more, [])
    found = compare_shadows(record for part in parts for record in part if isinstance(record, RequestRecord))
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
    elif found:
        print_table(_SHADOW_COLUMNS, [_shadow_row(each) for each in found], right=_SHADOW_COLUMNS[2:])
    else:
        typer.echo("no shadow copies")


def prune(
    folder: FolderArgument = None,
    *,
    before: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Remove segments last written before this day (UTC).")
    ],
    state: StateOption = None,
    config: AnchorConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the oldest segments and note it in the journal, so that `verify` knows that it was meant.

    What the state database has not counted to its end is kept. Nothing is removed from a damaged journal.
    """
    place, until = _folder(folder, config), before.replace(tzinfo=UTC)
    retention = Retention(place, uuid.uuid4().hex[:12], _anchors(state, config), lambda: datetime.now(UTC))
    if not yes and (found := len(retention.removable(until))):
        typer.confirm(f"Remove {found} segments from {place}?", abort=True, err=True)
    removed = [segment.file for segment in retention.prune(until, actor())]
    if as_json:
        print_json({"removed": removed})
    else:
        typer.echo("\n".join([*removed, f"Removed {len(removed)} segments from {place}."]))


def _shadow_row(found: ShadowComparison) -> tuple[str, ...]:
    agreed = f"{found.num_agreed} of {found.num_compared}" if found.num_compared else "-"
    ratio = "-" if found.latency_ratio is None else f"{found.latency_ratio:.2f}"
    return found.original, found.shadow, str(found.num_copies), str(found.num_failed), agreed, ratio


def _folder(given: str | None, config: Path | None) -> Path:
    """Where it is said to be; a folder that is not there is a wrong name, not an empty journal."""
    named = given or (load_config(config).router_args.audit_dir if config else DEFAULT_AUDIT_DIR)
    folder = audit_folder(named)
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}")
    return folder


def _anchors(state: str | None, config: Path | None) -> dict[str, Cursor]:
    from deployments.state.projection import read_cursors  # noqa: PLC0415  only what reads it waits for SQLAlchemy

    with open_state(state, config) as database, database.read() as connection:
        return read_cursors(connection)


def _print(records: Iterable[Record], *, as_json: bool) -> None:
    for record in records:
        typer.echo(encode_record(record).decode() if as_json else format_record(record))


def _show(report: Report, folder: Path, *, is_anchored: bool) -> None:
    if report.findings:
        rows = [(each.file, str(each.line or "-"), each.problem) for each in report.findings[:_SHOWN]]
        print_table(("file", "line", "problem"), rows, right=("line",))
    if len(report.findings) > _SHOWN:
        typer.echo(f"... and {len(report.findings) - _SHOWN} more; --json has all")
    for writer, end in report.removals.items():
        typer.echo(f"{writer}: pruned up to segment {end.number}")
    if report.elsewhere:
        typer.echo(f"{len(report.elsewhere)} files that were counted are not here: on other nodes, or removed")
    if not is_anchored:
        typer.echo("Not held against the state database (--state, --config): a missing end would not be seen.")
    lines = (
        f"{report.num_lines} lines in {report.num_segments} segments of {report.num_writers} writers in {folder}"
    )
    typer.echo(f"{lines}: {'intact' if report.is_intact else 'DAMAGED'}.")
