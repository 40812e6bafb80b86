"""From a model's args and the nodes of a cluster to its memory plan: the one rule of the builder and of
``stowage plan``. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from deployments.args import ModelArgs
from models.devices import device_named
from models.engines.registry import resolve_engine
from models.errors import ConfigError, DoesNotFitError
from models.hardware import Device, Node, cpu_device
from models.manifest import Manifest
from models.memory.overheads import MEASURED, Overheads
from models.memory.plan import MemoryPlan, plan_memory
from models.spec import EngineName

# The engines that can run on a GPU; the others take a node's memory.
CUDA_ENGINES: frozenset[EngineName] = frozenset({"transformers", "embedding"})


def plan_model(
    args: ModelArgs, manifest: Manifest, nodes: Sequence[Node], overheads: Overheads = MEASURED
) -> MemoryPlan:
    """The plan of one replica on the device that ``args.device`` means among ``nodes``, whether or not it fits.

    ``auto`` is a GPU where the engine can use one and the cluster has one, else a node's memory; of several kinds
    it is the smallest on which the plan fits. ConfigError for a device that the cluster does not have, and for
    limits or a budget that cannot be planned.
    """
    engine = resolve_engine(manifest, args.engine)
    *smaller, largest = candidate_devices(args, engine, nodes)
    for device in smaller:
        try:
            plan = _plan(args, manifest, engine, device, overheads)
        except DoesNotFitError:
            continue  # the limits exceed this budget; that of a larger device may hold them
        if plan.budget_bytes <= device.usable_bytes:
            return plan
    return _plan(args, manifest, engine, largest, overheads)


def candidate_devices(args: ModelArgs, engine: EngineName, nodes: Sequence[Node]) -> tuple[Device, ...]:
    """The devices that ``args.device`` allows, smallest first; never none. ConfigError when there is none."""
    gpus = {node.gpu for node in nodes if node.gpu is not None and node.num_devices}
    by_size = tuple(sorted(gpus, key=lambda gpu: (gpu.usable_bytes, gpu.name)))
    if args.device == "cpu" or (args.device == "auto" and (engine not in CUDA_ENGINES or not gpus)):
        return (_node_memory(args, nodes),)
    if engine not in CUDA_ENGINES:
        raise ConfigError(f"{args.id}: engine {engine!r} does not run on a GPU, but device is {args.device!r}",
                          remedy="write device: cpu, or leave device out")  # fmt: skip
    if args.device in ("auto", "gpu"):
        wanted = by_size
    else:
        device = device_named(args.device, f"device of {args.id}")
        wanted = tuple(gpu for gpu in by_size if gpu.name == device.name)
    if not wanted:
        offered = ", ".join(gpu.name for gpu in by_size) or "no GPU"
        raise ConfigError(f"{args.id} wants device {args.device!r}, but the cluster has {offered}",
                          remedy="write a device that the cluster has, or add a node with that one")  # fmt: skip
    return wanted


def _node_memory(args: ModelArgs, nodes: Sequence[Node]) -> Device:
    """The memory of the largest node, or what ``node_memory`` says of one."""
    if args.node_memory is not None:
        return cpu_device(int(args.node_memory), "node_memory")
    return cpu_device(max((node.memory_bytes for node in nodes), default=0), "the largest node")


def _plan(
    args: ModelArgs, manifest: Manifest, engine: EngineName, device: Device, overheads: Overheads
) -> MemoryPlan:
    budget_bytes = args.memory.on(device)
    return plan_memory(
        manifest, args.limits, engine, device=device, budget_bytes=budget_bytes, overheads=overheads
    )
