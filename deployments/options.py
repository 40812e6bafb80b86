"""From a memory plan to Ray Serve's deployment options. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from deployments.args import ModelArgs, RouterArgs
from deployments.bundles import choose_bundles
from deployments.devices import LEAVE_VISIBLE
from deployments.placing import NodeChoice, Selector, choose_kind, choose_nodes
from deployments.pool_args import PoolArgs
from deployments.reservation import reserve
from deployments.routing.bundles import Bundles, Strategy
from deployments.routing.serve_details import SCALING_POLICY
from deployments.scaling_args import ScalingArgs
from deployments.update import SURGE_PERCENT, surges
from models.engines.base import EngineSettings
from models.engines.heap import ONE_HEAP
from models.hardware import Node
from models.memory.group_plan import RankPlan
from models.memory.plan import MemoryPlan


class RuntimeEnv(TypedDict):
    """Of a replica's process."""

    env_vars: dict[str, str]


class ActorOptions(TypedDict):
    """What Ray reserves for a replica (``memory`` in bytes), and where."""

    num_cpus: float
    memory: int
    num_gpus: NotRequired[float]
    label_selector: NotRequired[dict[str, str]]
    fallback_strategy: NotRequired[list[Selector]]
    runtime_env: NotRequired[RuntimeEnv]


class DeploymentOptions(TypedDict):
    """Keyword arguments of ``serve.deployment``: counts, seconds."""

    ray_actor_options: dict[str, object]
    max_replicas_per_node: NotRequired[int]
    max_ongoing_requests: int
    max_queued_requests: NotRequired[int]
    health_check_period_s: float
    health_check_timeout_s: float
    graceful_shutdown_timeout_s: float
    num_replicas: NotRequired[int]
    autoscaling_config: NotRequired[dict[str, object]]
    placement_group_bundles: NotRequired[list[dict[str, float]]]
    placement_group_strategy: NotRequired[Strategy]
    placement_group_bundle_label_selector: NotRequired[list[dict[str, str]]]
    max_surge_percent: NotRequired[int]
    logging_config: dict[str, bool]


# What each request was is in the audit journal, and in the proxy's log. Two lines more for each of them, in the
# logs of the router and the model, cost more than the journal does.
QUIET = {"enable_access_log": False}

_HEALTH_CHECK_PERIOD_S = 5.0
_HEALTH_CHECK_TIMEOUT_S = 30.0
_SHUTDOWN_TIMEOUT_S = 20.0

_CPU = "cpu"
_BESIDE = ("context", "communication")  # on a GPU, the same
_PROCESS = ("tokenizer", "runtime")  # terms that no engine allocates


def model_options(args: ModelArgs, plan: MemoryPlan, nodes: Sequence[Node]) -> DeploymentOptions:
    """The options of one model version: the budget as Ray's resources, the placement as a choice of ``nodes``.

    Of a group's, the bundles say what is asked for all its ranks, the rest what is asked for the first.
    """
    concurrency = plan.max_concurrency
    chosen = choose_nodes(args.placement, nodes) if args.placement and not plan.group else None
    options = DeploymentOptions(
        ray_actor_options=dict(_actor_options(args, plan, chosen, nodes)),
        # Twice what runs at once: the next requests are already there when a place becomes free.
        max_ongoing_requests=2 * concurrency,
        max_queued_requests=args.max_queued_requests,
        health_check_period_s=_HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=_HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=_SHUTDOWN_TIMEOUT_S,
        logging_config=QUIET,
    )
    if args.min_replicas == args.max_replicas:
        options["num_replicas"] = args.min_replicas
    else:
        options["autoscaling_config"] = _autoscaling(args, plan)
    if plan.group:
        _add_bundles(options, choose_bundles(args, plan, plan.group, nodes))
    if surges(args, plan):
        options["max_surge_percent"] = SURGE_PERCENT
    if chosen:
        options["max_replicas_per_node"] = chosen.max_replicas_per_node
    return options


def router_options(args: RouterArgs) -> DeploymentOptions:
    """The options of the Router deployment."""
    return DeploymentOptions(
        ray_actor_options={"num_cpus": args.num_cpus},
        max_ongoing_requests=args.max_ongoing_requests,
        health_check_period_s=_HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=_HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=_SHUTDOWN_TIMEOUT_S,
        logging_config=QUIET,
        num_replicas=args.num_replicas,
    )


def pool_options(args: PoolArgs) -> DeploymentOptions:
    """The options of a pool. Serve's own queues never refuse what a model's queue in the replica would take."""
    return DeploymentOptions(
        ray_actor_options={"num_cpus": args.num_cpus, "memory": int(args.memory)},
        max_ongoing_requests=args.max_queued_requests * len(args.models),
        health_check_period_s=_HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=_HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=_SHUTDOWN_TIMEOUT_S,
        logging_config=QUIET,
        num_replicas=args.num_replicas,
    )


def engine_settings(args: ModelArgs, plan: MemoryPlan, rank: int = 0) -> EngineSettings:
    """What the engine may allocate: the plan's pages and lengths, nothing of its own choosing.

    Of a group, the bytes are those of the ``rank``; vLLM gives each of its ranks as much for the KV cache as the
    one with most layers needs, which then has the fewest pages, and all take as many.
    """
    taken = plan.group.ranks[rank] if plan.group else plan
    of_vllm = plan.group if plan.engine == "vllm" else None
    return EngineSettings(
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
        max_batch_tokens=plan.max_batch_tokens,
        max_batch_size=plan.max_batch_size,
        page_size=plan.page_size,
        num_kv_pages=plan.num_kv_pages,
        kv_cache_bytes=max(rank.kv_cache_bytes for rank in of_vllm.ranks) if of_vllm else taken.kv_cache_bytes,
        num_threads=args.num_threads,
        device=_CPU if plan.device.kind == _CPU else "cuda:0",
        device_cap_bytes=_cap_bytes(args, plan, taken),
        keeps_heap=plan.engine == "transformers" and plan.device.kind == _CPU,
        group=of_vllm.layout if of_vllm else None,
        vllm_python=args.vllm_python,
        sleep_after_s=args.sleep_after_s,
        stall_timeout_s=args.stall_timeout_s if of_vllm else None,
    )


def _add_bundles(options: DeploymentOptions, chosen: Bundles) -> None:
    options["placement_group_bundles"] = [dict(bundle) for bundle in chosen.bundles]
    options["placement_group_strategy"] = chosen.strategy
    if chosen.label_selectors:
        options["placement_group_bundle_label_selector"] = [dict(each) for each in chosen.label_selectors]


def _actor_options(
    args: ModelArgs, plan: MemoryPlan, chosen: NodeChoice | None, nodes: Sequence[Node]
) -> ActorOptions:
    reservation = reserve(args, plan)
    options = ActorOptions(num_cpus=args.num_cpus, memory=reservation.memory_bytes)
    if reservation.num_gpus:
        options["num_gpus"] = reservation.num_gpus
    if chosen:
        options["label_selector"] = chosen.label_selector
        options["fallback_strategy"] = chosen.fallback_strategy
    elif reservation.num_gpus and not plan.group and (kind := choose_kind(plan.device, nodes)):
        options["label_selector"] = kind
    environment = runtime_env(args, plan)
    if environment["env_vars"]:
        options["runtime_env"] = environment
    return options


def runtime_env(args: ModelArgs, plan: MemoryPlan) -> RuntimeEnv:
    """Of each process of a replica."""
    if plan.device.kind == _CPU:
        return RuntimeEnv(env_vars=dict(ONE_HEAP))
    return RuntimeEnv(env_vars={LEAVE_VISIBLE: "1"} if args.placement else {})


def _cap_bytes(args: ModelArgs, plan: MemoryPlan, taken: MemoryPlan | RankPlan) -> int | None:
    """The budget, without what is no allocator's to hand out: the device context on a GPU, the process on a CPU.

    On a CPU only of a budget that was given: what ``auto`` finds for a graph of unknown shapes is an estimate,
    which is watched, and not a reason to refuse a request.
    """
    if plan.device.kind != _CPU:
        return taken.budget_bytes - sum(term.bytes for term in taken.terms if term.name in _BESIDE)
    process_bytes = sum(term.bytes for term in taken.terms if term.name in _PROCESS)
    return None if args.memory.is_auto else taken.budget_bytes - process_bytes


def _autoscaling(args: ModelArgs, plan: MemoryPlan) -> dict[str, object]:
    """Serve's own delays are none, so that the policy's hold.

    No ``initial_replicas``: Serve would go back to them at each deployment, whatever the load is.
    """
    scaling = args.scaling or ScalingArgs()
    arguments = scaling.arguments(plan, args.min_replicas, args.max_replicas)
    return {
        "min_replicas": args.min_replicas,
        "max_replicas": args.max_replicas,
        "target_ongoing_requests": max(1.0, 0.75 * plan.max_concurrency),
        "metrics_interval_s": 2.0,
        "look_back_period_s": 10.0,
        "upscale_delay_s": 0.0,
        "downscale_delay_s": 0.0,
        "policy": {"policy_function": SCALING_POLICY, "policy_kwargs": arguments.dump()},
    }
