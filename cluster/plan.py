"""``stowage plan``: the bytes that each model will need, before anything is deployed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from cluster.imports import import_all
from cluster.options import ConfigArgument, JsonOption, read_size
from cluster.render import print_json, print_table
from cluster.serve_config import DeployedModel, load_config
from cluster.stored import stored_manifest
from models.engines.registry import resolve_engine
from models.errors import ConfigError
from models.hardware import local_node_memory_bytes
from models.manifest import Manifest
from models.memory import MemoryPlan, check_fits, format_bytes, plan_memory


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One version. ``plan`` is None when there can be none; ``problem`` says why it cannot be deployed."""

    model: DeployedModel
    limit_bytes: int
    plan: MemoryPlan | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """All models on ``num_nodes`` nodes that offer ``node_bytes`` each."""

    models: tuple[PlannedModel, ...]
    node_bytes: int
    num_nodes: int

    @property
    def total_bytes(self) -> int:
        """Of all models at their smallest number of replicas."""
        return sum(each.plan.total_bytes * each.model.replicas.low for each in self.models if each.plan)

    @property
    def problems(self) -> list[str]:
        """Why the models do not fit. That they fit in sum is necessary, not sufficient: a replica is not split."""
        found = [model.problem for model in self.models if model.problem]
        offered_bytes = self.node_bytes * self.num_nodes
        if self.total_bytes > offered_bytes:
            found.append(
                f"all models at their min_replicas need {format_bytes(self.total_bytes)}, "
                f"but {self.num_nodes} node(s) offer {format_bytes(offered_bytes)} "
                "(deploy fewer models, lower their limits, or use more or larger nodes)"
            )
        return found


def plan(
    config: ConfigArgument,
    node_memory: Annotated[
        int | None,
        typer.Option(
            metavar="SIZE",
            parser=read_size,
            help="Memory that one node offers to replicas, as 16GiB. Default: this machine's.",
        ),
    ] = None,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes of that size.")] = 1,
    import_first: Annotated[bool, typer.Option("--import", help="First import what is not in the store.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the planned memory of each model, term by term, and whether it fits.

    Exit code: 0 when everything fits, 1 when something does not or cannot be planned.
    """
    loaded = load_config(config)
    if import_first:
        import_all(loaded.model_args, Console(stderr=True))
    found = [(model, stored_manifest(model.args)) for model in loaded.models]
    if missing := [str(model.args.id) for model, manifest in found if manifest is None]:
        raise ConfigError(
            f"not in the store yet, so their sizes are not known: {', '.join(missing)}",
            remedy="add --import to import them first",
        )
    models = [(model, manifest) for model, manifest in found if manifest is not None]
    planned = plan_cluster(models, node_memory, num_nodes)
    if as_json:
        _show_json(planned)
    else:
        _show_table(planned)
    raise typer.Exit(1 if planned.problems else 0)


def plan_cluster(
    models: Sequence[tuple[DeployedModel, Manifest]], node_memory: int | None, num_nodes: int
) -> ClusterPlan:
    """``node_memory`` in bytes goes before a model's own ``node_memory``, and that before this machine's."""
    declared = [int(model.args.node_memory) for model, _ in models if model.args.node_memory is not None]
    node_bytes = node_memory or max(declared, default=None) or _this_machine_bytes()
    planned = [_plan_model(model, manifest, node_memory, node_bytes) for model, manifest in models]
    return ClusterPlan(tuple(planned), node_bytes, num_nodes)


def _plan_model(
    model: DeployedModel, manifest: Manifest, node_memory: int | None, node_bytes: int
) -> PlannedModel:
    args = model.args
    limit_bytes = node_memory or (node_bytes if args.node_memory is None else int(args.node_memory))
    planned = None
    try:
        planned = plan_memory(manifest, args.limits, resolve_engine(manifest, args.engine))
        check_fits(planned, manifest, args.limits, limit_bytes, "a node")
    except ConfigError as error:
        return PlannedModel(model, limit_bytes, planned, str(error))
    return PlannedModel(model, limit_bytes, planned)


def _this_machine_bytes() -> int:
    try:
        return local_node_memory_bytes()
    except OSError as error:
        raise ConfigError(
            f"the memory of this machine is not known: {error}", remedy="give --node-memory"
        ) from error


def _show_table(planned: ClusterPlan) -> None:
    plans = [model.plan for model in planned.models if model.plan]
    terms = list(dict.fromkeys(term.name for each in plans for term in each.terms))
    columns = ("model", "engine", *terms, "total", "replicas")
    print_table(columns, [_row(model, terms) for model in planned.models], right=(*terms, "total", "replicas"))
    typer.echo(
        f"All at their min_replicas: {format_bytes(planned.total_bytes)}. "
        f"Offered: {planned.num_nodes} x {format_bytes(planned.node_bytes)}."
    )
    for problem in planned.problems:
        typer.echo(problem, err=True)


def _row(planned: PlannedModel, terms: Sequence[str]) -> tuple[str, ...]:
    version, replicas = str(planned.model.args.id), str(planned.model.replicas)
    if planned.plan is None:
        return (version, *["-"] * (len(terms) + 2), replicas)
    sizes = {term.name: format_bytes(term.bytes) for term in planned.plan.terms}
    total = format_bytes(planned.plan.total_bytes)
    return (version, planned.plan.engine, *(sizes.get(term, "-") for term in terms), total, replicas)


def _show_json(planned: ClusterPlan) -> None:
    print_json(
        {
            "fits": not planned.problems,
            "problems": planned.problems,
            "node_bytes": planned.node_bytes,
            "num_nodes": planned.num_nodes,
            "total_bytes": planned.total_bytes,
            "models": [_model_json(model) for model in planned.models],
        }
    )


def _model_json(planned: PlannedModel) -> dict[str, object]:
    plan_facts: dict[str, object] = {}
    if planned.plan:
        plan_facts = {"total_bytes": planned.plan.total_bytes, **dataclasses.asdict(planned.plan)}
    return {
        "model": planned.model.args.model,
        "version": planned.model.args.version,
        "min_replicas": planned.model.replicas.low,
        "max_replicas": planned.model.replicas.high,
        "limit_bytes": planned.limit_bytes,
        "problem": planned.problem,
        **plan_facts,
    }
