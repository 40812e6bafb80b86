"""From a memory plan to Ray Serve's deployment options. Pure."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from deployments.args import ModelArgs, RouterArgs
from models.engines.base import EngineSettings
from models.memory import MemoryPlan


class DeploymentOptions(TypedDict):
    """Keyword arguments of ``serve.deployment``: Ray resources (``memory`` in bytes), counts, seconds."""

    ray_actor_options: dict[str, float]
    max_ongoing_requests: int
    max_queued_requests: NotRequired[int]
    health_check_period_s: float
    health_check_timeout_s: float
    graceful_shutdown_timeout_s: float
    num_replicas: NotRequired[int]
    autoscaling_config: NotRequired[dict[str, float]]


_HEALTH_CHECK_PERIOD_S = 5.0
_HEALTH_CHECK_TIMEOUT_S = 30.0
_SHUTDOWN_TIMEOUT_S = 20.0


def model_options(args: ModelArgs, plan: MemoryPlan) -> DeploymentOptions:
    """The options of one model version: the planned bytes become Ray's ``memory``."""
    concurrency = _concurrency(args, plan)
    options = DeploymentOptions(
        ray_actor_options={"num_cpus": args.num_cpus, "memory": plan.total_bytes},
        # Twice what runs at once: the next requests are already there when a place becomes free.
        max_ongoing_requests=2 * concurrency,
        max_queued_requests=args.max_queued_requests,
        health_check_period_s=_HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=_HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=_SHUTDOWN_TIMEOUT_S,
    )
    if args.min_replicas == args.max_replicas:
        options["num_replicas"] = args.min_replicas
    else:
        options["autoscaling_config"] = _autoscaling(args, concurrency)
    return options


def router_options(args: RouterArgs) -> DeploymentOptions:
    """The options of the Router deployment."""
    return DeploymentOptions(
        ray_actor_options={"num_cpus": args.num_cpus},
        max_ongoing_requests=args.max_ongoing_requests,
        health_check_period_s=_HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=_HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=_SHUTDOWN_TIMEOUT_S,
        num_replicas=args.num_replicas,
    )


def engine_settings(args: ModelArgs, plan: MemoryPlan) -> EngineSettings:
    """What the engine may allocate: the plan's pages and lengths, nothing of its own choosing."""
    return EngineSettings(
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
        max_batch_tokens=args.limits.max_batch_tokens,
        max_batch_size=args.limits.max_batch_size,
        page_size=plan.page_size,
        num_kv_pages=plan.num_kv_pages,
        num_threads=args.num_threads,
    )


def _concurrency(args: ModelArgs, plan: MemoryPlan) -> int:
    return plan.max_num_seqs if plan.engine == "transformers" else args.limits.max_batch_size


def _autoscaling(args: ModelArgs, concurrency: int) -> dict[str, float]:
    return {
        "min_replicas": args.min_replicas,
        "initial_replicas": args.min_replicas,
        "max_replicas": args.max_replicas,
        "target_ongoing_requests": max(1.0, 0.75 * concurrency),
        "metrics_interval_s": 2.0,
        "look_back_period_s": 10.0,
    }
