"""What contradicts the plan of a model: its device, and overrides in its ``deployments:`` block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cluster.config.applications import MODEL_BUILDER, Application
from cluster.config.config_file import Complaint, YamlPath, child
from cluster.config.replicas import replica_range
from deployments.args import ModelArgs
from deployments.planning import given_degree, replica_on
from deployments.reservation import reserve, too_little
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Device
from models.manifest import Manifest
from models.memory.overheads import Overheads
from models.memory.plan import ANY_CPU, MemoryPlan, plan_replica

FindManifest = Callable[[ModelArgs], Manifest | None]
FindOverheads = Callable[[str], Overheads]

_KINDS = ("auto", "cpu", "gpu")
_OPTIONS = "ray_actor_options"
_PLACED = "placement in args decides on which nodes the replicas run"


def device_complaints(app: Application) -> Iterator[Complaint]:
    """Of a device that is none."""
    for model in app.written_models():
        try:
            if model.args.device not in _KINDS:
                device_named(model.args.device)
        except ConfigError as error:
            yield Complaint((*model.path, "device"), str(error))


def placement_complaints(app: Application) -> Iterator[Complaint]:
    """Of overrides that take the replicas of a placed model elsewhere, or ask for more than it has places."""
    args = app.model_args() if app.builder == MODEL_BUILDER else None
    if args is None or not args.placement:
        return
    for index, override in enumerate(app.overrides):
        path = (*app.path, "deployments", index)
        for option in (_OPTIONS, "max_replicas_per_node", "placement_group_bundles"):
            if child(override, option) is not None:
                yield Complaint((*path, option), f"{_PLACED}, and this would replace what it asks of Ray")
        replicas = replica_range(args, override)
        if replicas.high * args.least_parts.pipeline > len(args.placement):
            message = f"up to {replicas.high} replicas for {len(args.placement)} places in args.placement"
            yield Complaint(path, message)


def reservation_complaints(
    app: Application, find_manifest: FindManifest, find_overheads: FindOverheads
) -> Iterator[Complaint]:
    """Of ``num_gpus`` and ``memory`` below the plan, as far as the file alone says for which device it is.

    ``find_overheads`` has those that were measured for a store.
    """
    args = app.model_args() if app.builder == MODEL_BUILDER else None
    for index, override in enumerate(app.overrides if args else ()):
        options = child(override, _OPTIONS)
        if args is not None and isinstance(options, Mapping):
            plan = _plan(args, _device(args, options), find_manifest, find_overheads)
            if plan is not None:
                yield from _below(args, plan, options, (*app.path, "deployments", index, _OPTIONS))


def _below(
    args: ModelArgs, plan: MemoryPlan, options: Mapping[object, object], path: YamlPath
) -> Iterator[Complaint]:
    planned = reserve(args, plan)
    for option, needed in (("num_gpus", planned.num_gpus), ("memory", planned.memory_bytes)):
        given = options.get(option, 0)
        if isinstance(given, int | float) and given < needed:
            place = (*path, option) if option in options else path
            yield Complaint(place, str(too_little(args, option, given, needed)))


def _plan(
    args: ModelArgs, device: Device | None, find_manifest: FindManifest, find_overheads: FindOverheads
) -> MemoryPlan | None:
    """None for a model that is not stored or cannot be planned, which are complaints of other rules."""
    manifest = find_manifest(args) if device is not None else None
    if device is None or manifest is None:
        return None
    try:
        replica = replica_on(args, manifest, device, find_overheads(args.store))
        return plan_replica(replica, args.limits, args.memory.on(device), given_degree(args))
    except ConfigError:
        return None


def _device(args: ModelArgs, options: Mapping[object, object]) -> Device | None:
    """None where it takes a look at the cluster to know. Options without ``num_gpus`` are for a CPU."""
    if args.parallel == "auto":
        return None
    if args.device not in _KINDS:
        return device_named(args.device)
    on_cpu = args.device == "cpu" or (args.device == "auto" and "num_gpus" not in options)
    return ANY_CPU if on_cpu and args.memory.percent is None else None
