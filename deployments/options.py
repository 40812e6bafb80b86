"""From a memory plan to Ray Serve's deployment options. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from deployments.args import ModelArgs, RouterArgs
from deployments.devices import LEAVE_VISIBLE
from deployments.placing import NodeChoice, Selector, choose_kind, choose_nodes
from deployments.pool_args import PoolArgs
from deployments.reservation import reserve
from models.engines.base import EngineSettings
from models.engines.heap import ONE_HEAP
from models.hardware import Node
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
    autoscaling_config: NotRequired[dict[str, float]]
    logging_config: dict[str, bool]


# What each request was is in the audit journal, and in the proxy's log. Two lines more for each of them, in the
# logs of the router and the model, cost more than the journal does.
QUIET = {"enable_access_log": False}

_HEALTH_CHECK_PERIOD_S = 5.0
_HEALTH_CHECK_TIMEOUT_S = 30.0
_SHUTDOWN_TIMEOUT_S = 20.0

_CPU = "cpu"
_PROCESS = ("tokenizer", "runtime")  # terms that no engine allocates


def model_options(args: ModelArgs, plan: MemoryPlan, nodes: Sequence[Node]) -> DeploymentOptions:
    """The options of one model version: the budget as Ray's resources, the placement as a choice of ``nodes``."""
    concurrency = plan.max_concurrency
    chosen = choose_nodes(args.placement, nodes) if args.placement else None
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
        options["autoscaling_config"] = _autoscaling(args, concurrency)
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


def engine_settings(args: ModelArgs, plan: MemoryPlan) -> EngineSettings:
    """What the engine may allocate: the plan's pages and lengths, nothing of its own choosing."""
    return EngineSettings(
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
        max_batch_tokens=plan.max_batch_tokens,
        max_batch_size=plan.max_batch_size,
        page_size=plan.page_size,
        num_kv_pages=plan.num_kv_pages,
        kv_cache_bytes=plan.kv_cache_bytes,
        num_threads=args.num_threads,
        device=_CPU if plan.device.kind == _CPU else "cuda:0",
        device_cap_bytes=_cap_bytes(args, plan),
        keeps_heap=plan.engine == "transformers" and plan.device.kind == _CPU,
    )


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
        if reservation.num_gpus:
            options["runtime_env"] = RuntimeEnv(env_vars={LEAVE_VISIBLE: "1"})
    elif reservation.num_gpus and (kind := choose_kind(plan.device, nodes)):
        options["label_selector"] = kind
    if plan.device.kind == _CPU:
        options["runtime_env"] = RuntimeEnv(env_vars=dict(ONE_HEAP))
    return options


def _cap_bytes(args: ModelArgs, plan: MemoryPlan) -> int | None:
    """The budget, without what is no allocator's to hand out: the device context on a GPU, the process on a CPU.

    On a CPU only of a budget that was given: what ``auto`` finds for a graph of unknown shapes is an estimate,
    which is watched, and not a reason to refuse a request.
    """
    if plan.device.kind != _CPU:
        return plan.budget_bytes - plan.term("context").bytes
    process_bytes = sum(term.bytes for term in plan.terms if term.name in _PROCESS)
    return None if args.memory.is_auto else plan.budget_bytes - process_bytes


def _autoscaling(args: ModelArgs, concurrency: int) -> dict[str, float]:
    return {
        "min_replicas": args.min_replicas,
        "initial_replicas": args.min_replicas,
        "max_replicas": args.max_replicas,
        "target_ongoing_requests": max(1.0, 0.75 * concurrency),
        "metrics_interval_s": 2.0,
        "look_back_period_s": 10.0,
    }
