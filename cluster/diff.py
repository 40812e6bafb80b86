"""``stowage diff``: what another configuration would start, stop, restart and move, and the bytes that change."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.config.applications import names_of, read_applications
from cluster.config.config_changes import Effect, compare_applications, unapplied_changes
from cluster.config.config_file import ConfigFile
from cluster.config.serve_config import load_config
from cluster.live.dashboard import Dashboard, read_token
from cluster.live.run_time import beyond
from cluster.planning.chosen_nodes import NodeOptions, choose_nodes
from cluster.planning.plan_diff import ApplicationDiff, DeviceDiff, PlanDiff, diff_plans
from cluster.planning.plan_tables import format_places
from cluster.planning.planner import plan_cluster
from cluster.planning.updates import rank_changes
from cluster.rollout_notes import rollout_notes
from cluster.stored import known_versions
from cluster.terminal.options import (
    AddressOption,
    AtOption,
    DeviceOption,
    JsonOption,
    NodeMemoryOption,
    NodesOption,
    NumDevicesOption,
    NumNodesOption,
    ReplicaCount,
)
from cluster.terminal.render import print_json, print_table
from models.memory.plan import format_bytes

_EXIT_CHANGED = 3

OldArgument = Annotated[Path, typer.Argument(metavar="OLD", help="The Serve config file that is deployed.")]
NewArgument = Annotated[Path, typer.Argument(metavar="NEW", help="The one that would follow it.")]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help=f"Exit with {_EXIT_CHANGED} when anything changes.")
]


def diff(
    old: OldArgument,
    new: NewArgument,
    *,
    nodes: NodesOption = None,
    address: AddressOption = None,
    device: DeviceOption = None,
    num_devices: NumDevicesOption = None,
    node_memory: NodeMemoryOption = None,
    num_nodes: NumNodesOption = None,
    at: AtOption = ReplicaCount.MIN,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what changes when NEW is deployed where OLD runs: what starts, stops, restarts, moves, and why.

    Both are planned on the same nodes; what need not move stays where OLD has it. Starts nothing. With --address,
    what runs there otherwise than OLD says is shown too.

    Exit code: 0, or 1 when NEW does not fit or a change of it would be refused; why is then said.
    """
    before, after = load_config(old), load_config(new)
    options = NodeOptions(nodes, address, device, num_devices, node_memory, num_nodes)
    chosen = choose_nodes(options, (*before.model_args, *after.model_args))
    with known_versions(Console(stderr=True)) as find:
        old_plan = plan_cluster(before, find, chosen, at=at)
        new_plan = plan_cluster(after, find, chosen, at=at, keep=old_plan.placement.slots)
    written = [ConfigFile.read(path).value for path in (old, new)]
    applications = [read_applications(value) for value in written]
    run_time = [*_run_time(address, *map(names_of, applications)), *(rollout_notes(old) if address else ())]
    found = diff_plans(old_plan, new_plan, compare_applications(*applications), unapplied_changes(*written))
    refused = list(rank_changes(old_plan, new_plan))
    if as_json:
        print_json({"fits": not new_plan.problems, "problems": new_plan.problems, **dataclasses.asdict(found),
                    "refused": refused, "run_time": run_time})  # fmt: skip
    else:
        _show(found, run_time, refused)
    for problem in () if as_json else new_plan.problems:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if new_plan.problems or refused else _EXIT_CHANGED if exit_code and found.changes else 0)


def _run_time(address: str | None, old: Sequence[str], new: Sequence[str]) -> list[str]:
    """What a cluster has been told since OLD was deployed; nothing where none is asked."""
    if address is None:
        return []
    live = Dashboard(address, read_token(os.environ, Path.home())).applications()
    return list(beyond(old, new, live, time.time()))


def _show(found: PlanDiff, run_time: Sequence[str], refused: Sequence[str]) -> None:
    changed = [app for app in found.applications if app.effect is not Effect.STAYS]
    if changed:
        print_table(("change", "application", "memory", "where", "why"), map(_application_row, changed))
        typer.echo()
    if found.devices:
        columns = ("device", "before", "after", "change")
        print_table(columns, map(_device_row, found.devices), right=columns[1:])
        typer.echo()
    for line in run_time:
        typer.echo(f"Not as OLD says: {line}")
    for line in refused:
        typer.echo(f"Refused while it runs: {line}")
    for note in found.notes:
        typer.echo(f"Serve takes this only when it starts: {note}")
    typer.echo(_summary(found))


def _summary(found: PlanDiff) -> str:
    counts = ((effect, sum(app.effect is effect for app in found.applications)) for effect in Effect)
    words = [f"{count} {effect if count == 1 else effect.removesuffix('s')}" for effect, count in counts if count]
    return f"Applications: {', '.join(words)}."


def _application_row(app: ApplicationDiff) -> tuple[str, ...]:
    memory = _from_to(format_bytes(app.old_bytes), format_bytes(app.new_bytes))
    where = _from_to(format_places(app.old_places), format_places(app.new_places))
    return (app.effect, app.name, memory, where, "\n".join(app.reasons))


def _from_to(old: str, new: str) -> str:
    return new if old == new else f"{old} -> {new}"


def _device_row(device: DeviceDiff) -> tuple[str, ...]:
    change = device.new_bytes - device.old_bytes
    shares = (
        f"{format_bytes(used)} ({used * 100 // device.capacity_bytes}%)" if device.capacity_bytes else "-"
        for used in (device.old_bytes, device.new_bytes)
    )
    return (f"{device.node} {device.label}", *shares, f"{'-' if change < 0 else '+'}{format_bytes(abs(change))}")
