"""``stowage plan``: what each model will take and where it will lie, before anything is deployed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.config.placement_file import replace_file, write_placements
from cluster.config.serve_config import load_config
from cluster.imports import import_all
from cluster.planning.chosen_nodes import NodeOptions, choose_nodes
from cluster.planning.cluster_usage import usage_lines
from cluster.planning.notes import plan_notes
from cluster.planning.palette import assign_marks
from cluster.planning.picture import draw_nodes
from cluster.planning.plan_report import report_plan
from cluster.planning.plan_tables import print_plan
from cluster.planning.planned import ClusterPlan
from cluster.planning.planner import plan_cluster
from cluster.planning.svg import draw_svg
from cluster.stored import known_versions
from cluster.terminal.options import (
    AddressOption,
    AtOption,
    ConfigArgument,
    DeviceOption,
    JsonOption,
    NodeMemoryOption,
    NodesOption,
    NumDevicesOption,
    NumNodesOption,
    ReplicaCount,
)
from cluster.terminal.render import open_console
from deployments.args import Place
from models.errors import ConfigError
from models.nodes import NODE_ID_LABEL, NODE_LABEL

_PICTURE_CELLS = 100  # where there is no terminal to fit into

ImportOption = Annotated[bool, typer.Option("--import", help="First import what is not in the store.")]
SvgOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the placement into an SVG file.")]
WriteOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the configuration with the planned places to FILE.")
]


def plan(
    config: ConfigArgument,
    *,
    nodes: NodesOption = None,
    address: AddressOption = None,
    device: DeviceOption = None,
    num_devices: NumDevicesOption = None,
    node_memory: NodeMemoryOption = None,
    num_nodes: NumNodesOption = None,
    at: AtOption = ReplicaCount.MIN,
    import_first: ImportOption = False,
    svg: SvgOption = None,
    write: WriteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each model will take, term by term, where its replicas will lie, and whether all of it fits.

    A model that is not in the store is planned from the headers of its source. Starts nothing.

    Exit code: 0 when everything fits, 1 when something does not or cannot be planned: why, and what to change, is
    then on standard error.
    """
    loaded = load_config(config)
    if import_first:
        import_all(loaded.model_args, Console(stderr=True))
    options = NodeOptions(nodes, address, device, num_devices, node_memory, num_nodes)
    chosen = choose_nodes(options, loaded.model_args)
    with known_versions(Console(stderr=True)) as find:
        planned = plan_cluster(loaded, find, chosen, at=at)
    if write is not None:
        planned = dataclasses.replace(planned, misplaced=())  # they are about to be written anew
    if svg is not None:
        replace_file(svg, _svg(planned, config.name))
    if as_json:
        typer.echo(report_plan(planned).model_dump_json(indent=2))
    else:
        _show(planned)
    if write is not None:
        _write(planned, config, write)
    raise typer.Exit(1 if planned.problems else 0)


def _show(planned: ClusterPlan) -> None:
    console = open_console()
    nodes, marks = planned.bars(), assign_marks(each.name for each in planned.everything)
    print_plan(console, planned, marks)
    console.print()
    colour = console.is_terminal and console.color_system is not None and not console.no_color
    width = console.width if console.is_terminal else _PICTURE_CELLS
    for line in draw_nodes(nodes, marks, width, colour=colour):
        console.print(line, soft_wrap=True)
    console.print()
    for text in (*usage_lines(nodes), *plan_notes(planned)):
        console.print(text)
    for problem in planned.problems:
        typer.echo(problem, err=True)


def _svg(planned: ClusterPlan, config: str) -> str:
    nodes = planned.bars()
    title = f"{config}: {len(planned.everything)} models on {len(nodes)} nodes"
    return draw_svg(
        nodes, assign_marks(each.name for each in planned.everything), title, " ".join(usage_lines(nodes))
    )


def _write(planned: ClusterPlan, source: Path, target: Path) -> None:
    """Only a plan with a place for every replica that may ever run."""
    if planned.unfit:
        raise ConfigError(
            f"{str(target)!r} is not written: not everything has a place", remedy="change what is said above"
        )
    scaled = [
        f"{model.name} (up to {model.model.replicas.high})"
        for model in planned.models
        if model.num_replicas < model.model.replicas.high
    ]
    if scaled:
        raise ConfigError(
            f"{str(target)!r} is not written: Ray may start more replicas than are planned of {', '.join(scaled)}",
            remedy="add --at max, so that each of them has a place",
        )
    _check_names(planned, target)
    places = {
        model.model.path: [Place(node=slot.node, devices=slot.devices) for slot in planned.places(model) if slot]
        for model in planned.models
    }
    write_placements(source, target, places)


def _check_names(planned: ClusterPlan, target: Path) -> None:
    """ConfigError when a place is on a node that need not be called so once it is there."""
    lasting = {node.name for node in planned.nodes if {NODE_LABEL, NODE_ID_LABEL} & node.labels.keys()}
    used = {slot.node for model in planned.models for slot in planned.places(model) if slot}
    unsure = ", ".join(sorted(used - lasting))
    if unsure:
        raise ConfigError(
            f"{str(target)!r} is not written: no live node is sure to be called {unsure}",
            remedy="plan on the live nodes: --address URL; or give each node that is to have a place the label "
            f"{NODE_LABEL}, which in a file of `ray up` or KubeRay takes a group of its own",
        )
