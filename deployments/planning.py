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
from models.memory.degrees import NodeDevices, plan_smallest, smallest_degree
from models.memory.overheads import MEASURED, Overheads
from models.memory.plan import WHOLE, MemoryPlan, check_fits, plan_replica
from models.memory.sizing import Replica
from models.parallel.layout import Degree
from models.parallel.setting import GivenDegree
from models.spec import EngineName

# The engines that can run on a GPU; the others take a node's memory.
CUDA_ENGINES: frozenset[EngineName] = frozenset({"transformers", "vllm", "embedding"})


def plan_model(
    args: ModelArgs, manifest: Manifest, nodes: Sequence[Node], overheads: Overheads = MEASURED
) -> MemoryPlan:
    """The plan of one replica on the device that ``args.device`` means among ``nodes``, whether or not it fits.

    ``auto`` is a GPU where the engine can use one and the cluster has one, else a node's memory; of several kinds
    it is the smallest on which the plan fits. With ``parallel: auto`` it is the kind of which the fewest hold the
    model. ConfigError for a device that the cluster does not have, and for limits, a degree or a budget that
    cannot be planned; DoesNotFitError where ``parallel: auto`` finds no degree.
    """
    devices = candidate_devices(args, resolve_engine(manifest, args.engine), nodes)
    _check_can_sleep(args, devices)
    replicas = [replica_on(args, manifest, device, overheads) for device in devices]
    if args.parallel == "auto":
        return _plan_smallest(args, replicas, nodes)
    degree = given_degree(args)
    _check_one_node(args, degree, devices, nodes)
    able = [replica for replica in replicas if _has_devices(args, replica, degree, nodes)] or replicas[-1:]
    for replica in able[:-1]:
        try:
            plan = _plan(args, replica, degree)
        except DoesNotFitError:
            continue  # the limits exceed this budget; that of a larger device may hold them
        if plan.budget_bytes <= replica.device.usable_bytes:
            return plan
    return _plan(args, able[-1], degree)


def check_model_fits(
    args: ModelArgs, manifest: Manifest, plan: MemoryPlan, nodes: Sequence[Node], overheads: Overheads = MEASURED
) -> None:
    """DoesNotFitError, with what to change, if ``plan`` exceeds the device that it is for.

    Where the model would fit between several of ``nodes``' devices, that is offered too.
    """
    where = plan.device.source if plan.device.kind == "cpu" else f"one {plan.device.name}"
    try:
        check_fits(plan, manifest, args.limits, plan.device.usable_bytes, where, overheads)
    except DoesNotFitError as error:
        degree = _fitting_degree(args, replica_on(args, manifest, plan.device, overheads), nodes)
        if degree is None or degree.num_ranks == 1 or args.parallel == "auto":
            raise
        remedy = f"{error.remedy}, or set parallel to auto, which is {degree} on these nodes"
        raise DoesNotFitError(error.message, remedy=remedy) from error


def replica_on(args: ModelArgs, manifest: Manifest, device: Device, overheads: Overheads) -> Replica:
    """What is planned for ``device``, before it is divided."""
    engine = resolve_engine(manifest, args.engine)
    return Replica(manifest, engine, device, overheads, sleeps=args.sleep_after_s is not None)


def given_degree(args: ModelArgs) -> Degree:
    """What ``args.parallel`` says when it is not ``auto``."""
    return args.parallel.degree if isinstance(args.parallel, GivenDegree) else WHOLE


def _check_one_node(args: ModelArgs, degree: Degree, devices: Sequence[Device], nodes: Sequence[Node]) -> None:
    """ConfigError when vLLM, whose ranks are processes of one node, would need the GPUs of several."""
    if args.engine != "vllm" or degree.num_ranks == 1 or devices[-1].kind == "cpu":
        return
    most = max(node.num_devices for node in nodes if node.gpu in devices)
    if degree.num_ranks > most:
        raise ConfigError(
            f"parallel of {args.id} is {degree}, but vLLM divides a model within one node, of which none has more "
            f"than {most} of these GPUs",
            remedy="use engine: transformers, whose stages may lie on several nodes, or a smaller degree",
        )


def _check_can_sleep(args: ModelArgs, devices: Sequence[Device]) -> None:
    """ConfigError when vLLM would have no GPU to leave."""
    if args.sleep_after_s is not None and devices[-1].kind == "cpu":
        raise ConfigError(
            f"sleep_after_s of {args.id} is {args.sleep_after_s:g}, but it gets a CPU, on which vLLM cannot sleep",
            remedy="set min_replicas to 0 instead",
        )


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


def _plan(args: ModelArgs, replica: Replica, degree: Degree) -> MemoryPlan:
    return plan_replica(replica, args.limits, args.memory.on(replica.device), degree)


def _plan_smallest(args: ModelArgs, replicas: Sequence[Replica], nodes: Sequence[Node]) -> MemoryPlan:
    """On the kind of device of which the fewest will do, of as many the smaller."""
    fitting = [(degree.num_ranks, index) for index, replica in enumerate(replicas)
               if (degree := _fitting_degree(args, replica, nodes))]  # fmt: skip
    _, index = min(fitting, default=(0, len(replicas) - 1))
    device = replicas[index].device
    return plan_smallest(replicas[index], args.limits, _devices(args, device, nodes), args.memory.on(device))


def _fitting_degree(args: ModelArgs, replica: Replica, nodes: Sequence[Node]) -> Degree | None:
    devices = _devices(args, replica.device, nodes)
    return smallest_degree(replica, args.limits, devices, args.memory.on(replica.device)).degree


def _has_devices(args: ModelArgs, replica: Replica, degree: Degree, nodes: Sequence[Node]) -> bool:
    """Whether the nodes have as many of the replica's kind of GPU as the degree takes, a stage's on one node."""
    if replica.device.kind == "cpu":
        return True
    parts = degree.in_one_part if args.engine == "vllm" else degree
    found = _devices(args, replica.device, nodes)
    return sum(each.num_devices // parts.tensor for each in found) >= parts.pipeline


def _devices(args: ModelArgs, device: Device, nodes: Sequence[Node]) -> list[NodeDevices]:
    """What the nodes have for one group. vLLM's ranks lie on one of them: that with most."""
    found = _devices_of(args, device, nodes)
    if args.engine != "vllm":
        return found
    return [max(found, key=lambda each: (each.num_devices, each.usable_bytes))]


def _devices_of(args: ModelArgs, device: Device, nodes: Sequence[Node]) -> list[NodeDevices]:
    """What each node has. The memory of a node is one device: its ranks would share it."""
    if device.kind == "cuda":
        return [NodeDevices(node.num_devices, device.usable_bytes) for node in nodes if node.gpu == device]
    given = args.node_memory and int(args.node_memory)
    return [NodeDevices(1, given or node.memory_bytes) for node in nodes] or [NodeDevices(1, device.usable_bytes)]
