"""``stowage status``: the live models, and their memory as planned and as measured."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cluster.config.applications import names_of, read_applications
from cluster.config.config_file import ConfigFile
from cluster.config.serve_config import load_config
from cluster.live.dashboard import DEFAULT_ADDRESS, Dashboard, LiveApplication, read_token
from cluster.live.group_metrics import LiveGroups, live_groups
from cluster.live.replica_metrics import ReplicaMemory, fetch_metrics, replica_memory, starting, without_share
from cluster.live.run_time import missing, told
from cluster.rollout_notes import rollout_notes
from cluster.terminal.options import JsonOption
from cluster.terminal.render import print_json, print_table
from models.memory.plan import format_bytes
from models.types import VersionId

_COLUMNS = (
    "application", "model", "version", "state", "replicas", "planned", "measured", "peak", "deviation", "reason",
)  # fmt: skip
_NUMBERS = ("replicas", "planned", "measured", "peak", "deviation")


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One application, what its replicas have reported, where one of them is on its way up, and what else is to
    be said of them; of a model that is divided, its groups of ranks."""

    application: LiveApplication
    memory: tuple[ReplicaMemory, ...] = ()
    starting: str | None = None
    note: str | None = None
    groups: LiveGroups | None = None

    @property
    def version(self) -> VersionId | None:
        """The version that it serves; the router and applications of others serve none."""
        try:
            return VersionId.parse(self.application.name)
        except ValueError:
            return None


def status(
    address: Annotated[
        str, typer.Option(envvar="RAY_DASHBOARD_ADDRESS", help="Ray's dashboard, as http://host:port.")
    ] = DEFAULT_ADDRESS,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show what of this Serve config is not deployed, and rollouts, too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is live: applications, versions, replicas, state and the reason for it; memory of one replica as
    planned, as measured now and at most (of several replicas or ranks the largest), and the deviation of the peak
    from the plan. A pool is planned at what it hosts now. OVER marks a replica beyond its budget. The reason tells
    what was loaded or changed at run time, too, and of a divided model the nodes of its ranks.

    Asks Ray's dashboard, and for what was measured the metrics endpoint of each node. For a cluster with token
    authentication the token is looked for where Ray itself looks: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH,
    ~/.ray/auth_token.
    """
    dashboard = Dashboard(address, read_token(os.environ, Path.home()))
    applications = dashboard.applications()
    if config is not None:
        applications += missing(_names(config), applications)
    models, problems = live_models(dashboard, applications)
    for problem in problems:
        typer.echo(f"What replicas measure is not known in full: {problem}", err=True)
    if as_json:
        print_json([_as_json(model) for model in models])
    elif not models:
        typer.echo(f"No application runs on {address}.")
    else:
        print_table(_COLUMNS, [status_row(model) for model in models], right=_NUMBERS)
    for note in rollout_notes(config) if config is not None and not as_json else ():
        typer.echo(note)


def _names(config: Path) -> list[str]:
    """The applications of a valid file."""
    load_config(config)
    return names_of(read_applications(ConfigFile.read(config).value))


def live_models(
    dashboard: Dashboard, applications: Sequence[LiveApplication]
) -> tuple[list[LiveModel], tuple[str, ...]]:
    """``applications`` with what their replicas report, and why some of that could not be had."""
    if not any(app.num_target for app in applications):
        return [LiveModel(app) for app in applications], ()
    metrics = fetch_metrics(dashboard)
    found: dict[str, list[ReplicaMemory]] = {}
    running = {app.name: app.replicas for app in applications}
    for each in replica_memory(metrics.samples, running):
        found.setdefault(each.application, []).append(each)
    waiting, notes = starting(metrics.samples), without_share(metrics.samples)
    groups = live_groups(metrics.samples, running)

    def model(app: LiveApplication) -> LiveModel:
        name = app.name
        return LiveModel(app, tuple(found.get(name, ())), waiting.get(name), notes.get(name), groups.get(name))

    return list(map(model, applications)), metrics.problems


def status_row(model: LiveModel) -> tuple[str, ...]:
    app, version = model.application, model.version
    return (
        app.name,
        version.name if version else "-",
        version.version if version else "-",
        app.state,
        f"{app.num_running}/{app.num_target}",
        _size(max((each.planned["total"] for each in model.memory), default=app.planned_bytes)),
        _size(max((each.measured["total"] for each in model.memory), default=None)),
        _size(max((each.measured["peak"] for each in model.memory), default=None)),
        _deviation(model.memory),
        _reason(model) or "",
    )


def _deviation(memory: Sequence[ReplicaMemory]) -> str:
    """Of the replica that is furthest over its plan."""
    if not memory:
        return "-"
    over = " OVER" if any(each.over_budget for each in memory) else ""
    return f"{max(each.deviation for each in memory):+.1%}{over}"


def _reason(model: LiveModel) -> str | None:
    app, note = model.application, model.application.run_time
    starts = app.state == "starting"
    lacks = starts or app.num_running < app.num_target
    after = model.groups.after if model.groups else None
    said = (
        f"its group of ranks starts anew: {after}" if lacks and after else None,
        model.starting if starts and model.starting else app.reason,
        str(model.groups) if model.groups else None,
        model.note,
        note and told(note, time.time()),
    )
    return "; ".join(text for text in said if text) or None


def _size(size: int | None) -> str:
    return "-" if size is None else format_bytes(size)


def _as_json(model: LiveModel) -> Mapping[str, object]:
    version = model.version
    return {
        **dataclasses.asdict(model.application),
        "reason": _reason(model),
        "model": version and version.name,
        "version": version and version.version,
        "memory": [dataclasses.asdict(each) for each in model.memory],
        "groups": model.groups and dataclasses.asdict(model.groups),
    }
