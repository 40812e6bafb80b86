"""The plan becomes Serve's options, and Serve takes them."""

from __future__ import annotations

import json

import pytest
from ray import serve
from ray.serve.config import AutoscalingConfig

from deployments.args import ModelArgs, RouterArgs
from deployments.devices import LEAVE_VISIBLE
from deployments.options import DeploymentOptions, engine_settings, model_options, router_options
from deployments.routing.serve_details import SCALING_POLICY
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.schedule import Window
from deployments.scaling.settings import Kind, ScalingSettings
from models.devices import device_named
from models.engines.base import EngineSettings
from models.hardware import Device, Node
from models.manifest import Manifest
from models.memory.overheads import MEASURED
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory, plan_replica
from models.memory.sizing import Replica
from models.parallel.layout import Degree
from models.spec import EngineName, Limits
from tests.unit.manifests import MINILM, SMOLLM2

LIMITS = Limits(max_model_len=2048, max_num_seqs=4, max_batch_size=16, max_batch_tokens=256, page_size=16)
ONE_HEAP = {"env_vars": {"MALLOC_ARENA_MAX": "1"}}

H100 = device_named("h100-80gb")
NODES = tuple(
    Node(name, 8, 64 * 1024**3, H100, 2, labels={"stowage.io/node": name, "ray.io/node-id": f"id-{name}"})
    for name in "ab"
)


def planned(
    manifest: Manifest, engine: EngineName, device: Device = ANY_CPU, **changes: object
) -> tuple[ModelArgs, MemoryPlan]:
    limits = LIMITS if engine == "transformers" else LIMITS.model_copy(update={"max_model_len": 128})
    args = ModelArgs.model_validate({"model": manifest.name, "limits": limits.model_dump(), **changes})
    return args, plan_memory(manifest, limits, engine, device=device, budget_bytes=args.memory.on(device))


def on_nodes(args: ModelArgs, plan: MemoryPlan) -> DeploymentOptions:
    return model_options(args, plan, NODES)


def test_the_plan_is_what_ray_is_asked_for() -> None:
    args, plan = planned(SMOLLM2, "transformers", num_cpus=2)
    assert on_nodes(args, plan)["ray_actor_options"] == {
        "num_cpus": 2,
        "memory": plan.total_bytes,
        "runtime_env": ONE_HEAP,
    }


def test_a_budget_is_asked_for_whole() -> None:
    args, plan = planned(MINILM, "embedding", memory="2GiB")
    assert plan.total_bytes < 2 * 1024**3
    assert on_nodes(args, plan)["ray_actor_options"] == {
        "num_cpus": 0.5,
        "memory": 2 * 1024**3,
        "runtime_env": ONE_HEAP,
    }


def test_a_share_of_a_gpu_is_a_fraction_of_it() -> None:
    args, plan = planned(SMOLLM2, "transformers", H100, memory="30%")
    asked = on_nodes(args, plan)
    assert asked["ray_actor_options"] == {"num_cpus": 0.5, "memory": plan.host_bytes, "num_gpus": 0.3}
    assert plan.host_bytes > 0
    assert "max_replicas_per_node" not in asked


def test_places_on_gpus_choose_their_nodes_and_leave_the_gpu_to_the_replica() -> None:
    places = [{"node": "a", "devices": [1]}, {"node": "b", "devices": [0]}]
    args, plan = planned(SMOLLM2, "transformers", H100, placement=places, min_replicas=2, max_replicas=2)
    asked = on_nodes(args, plan)
    assert asked["max_replicas_per_node"] == 1
    assert asked["ray_actor_options"]["label_selector"] == {"stowage.io/node": "in(a,b)"}
    assert asked["ray_actor_options"]["runtime_env"] == {"env_vars": {LEAVE_VISIBLE: "1"}}


def test_places_on_cpu_nodes_ask_once_for_what_is_shared() -> None:
    args, plan = planned(MINILM, "embedding", placement=[{"node": "a"}] * 2, max_replicas=2)
    asked = on_nodes(args, plan)
    assert plan.shared_bytes > 0
    assert asked["ray_actor_options"]["memory"] == plan.total_bytes - plan.shared_bytes + plan.shared_bytes // 2
    assert asked["max_replicas_per_node"] == 2
    assert asked["ray_actor_options"]["runtime_env"] == ONE_HEAP


@pytest.mark.parametrize(
    ("manifest", "engine", "at_once"), [(SMOLLM2, "transformers", 4), (MINILM, "embedding", 16)]
)
def test_a_replica_takes_twice_what_it_runs_at_once(manifest: Manifest, engine: EngineName, at_once: int) -> None:
    args, plan = planned(manifest, engine, max_queued_requests=7)
    options = on_nodes(args, plan)
    assert (options["max_ongoing_requests"], options["max_queued_requests"]) == (2 * at_once, 7)


def test_a_fixed_number_of_replicas_is_not_scaled() -> None:
    options = on_nodes(*planned(SMOLLM2, "transformers", min_replicas=3, max_replicas=3))
    assert options["num_replicas"] == 3
    assert "autoscaling_config" not in options


def test_a_range_of_replicas_is_scaled_from_its_lower_end() -> None:
    options = on_nodes(*planned(SMOLLM2, "transformers", min_replicas=0, max_replicas=2))
    assert "num_replicas" not in options
    scaling = AutoscalingConfig.model_validate(options["autoscaling_config"])
    assert (scaling.min_replicas, scaling.initial_replicas, scaling.max_replicas) == (0, None, 2)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s, scaling.downscale_to_zero_delay_s) == (0, 0, None)
    assert 1 <= scaling.get_target_ongoing_requests() < options["max_ongoing_requests"]


def test_our_policy_decides_by_what_was_planned() -> None:
    schedule = [{"replicas": 2, "start": "08:00", "end": "18:00", "days": ["mon"], "time_zone": "Europe/Berlin"}]
    scaling = {"queue_s": 5, "idle_s": 60, "schedule": schedule}
    args, plan = planned(SMOLLM2, "transformers", min_replicas=0, max_replicas=3, scaling=scaling)
    policy = AutoscalingConfig.model_validate(on_nodes(args, plan)["autoscaling_config"]).policy
    settings = PolicyArguments.load(json.loads(json.dumps(policy.policy_kwargs))).settings
    assert settings == ScalingSettings(
        kind=Kind.GENERATION,
        min_replicas=0,
        max_replicas=3,
        max_num_seqs=LIMITS.max_num_seqs,
        max_tokens=plan.num_kv_pages * LIMITS.page_size,
        queue_s=5,
        idle_s=60,
        schedule=(Window(2, "08:00", "18:00", ("mon",), "Europe/Berlin"),),
    )
    assert policy.policy_function == SCALING_POLICY
    assert policy.get_policy().__name__ == "ModelPolicy"


@pytest.mark.parametrize(("manifest", "engine", "places"), [(MINILM, "embedding", 16), (MINILM, "onnx", 1)])
def test_what_does_not_generate_scales_by_the_time_of_its_batches(
    manifest: Manifest, engine: EngineName, places: int
) -> None:
    args, plan = planned(manifest, engine, max_replicas=2)
    policy = AutoscalingConfig.model_validate(on_nodes(args, plan)["autoscaling_config"]).policy
    settings = PolicyArguments.load(policy.policy_kwargs).settings
    assert (settings.kind, settings.max_num_seqs, settings.max_tokens) == (Kind.BATCH, places, None)


@pytest.mark.parametrize(
    "options",
    [
        on_nodes(*planned(SMOLLM2, "transformers")),
        on_nodes(*planned(MINILM, "embedding", min_replicas=0, max_replicas=2)),
        on_nodes(*planned(MINILM, "embedding", H100, placement=[{"node": "a", "devices": [0]}])),
        router_options(RouterArgs(num_replicas=2)),
    ],
    ids=["fixed", "scaled", "placed", "router"],
)
def test_serve_takes_the_options(options: DeploymentOptions) -> None:
    class Anything:
        """A deployment needs a class."""

    deployment = serve.deployment(**options)(Anything)
    assert deployment.max_ongoing_requests == options["max_ongoing_requests"]
    assert deployment.ray_actor_options is not None
    assert deployment.ray_actor_options["num_cpus"] == options["ray_actor_options"]["num_cpus"]


def test_the_engine_may_allocate_what_was_planned_and_no_more() -> None:
    args, plan = planned(SMOLLM2, "transformers", num_threads=2)
    assert engine_settings(args, plan) == EngineSettings(
        max_model_len=2048,
        max_num_seqs=4,
        max_batch_tokens=256,
        max_batch_size=16,
        page_size=16,
        num_kv_pages=512,
        kv_cache_bytes=plan.term("kv_cache").bytes,
        num_threads=2,
        device="cpu",
        keeps_heap=True,
    )


def test_vllm_is_told_the_stages_and_the_bytes_of_the_pages_where_they_are_largest() -> None:
    args = ModelArgs.model_validate({"model": "smollm2-135m", "engine": "vllm", "vllm_python": "/v/python"})
    plan = plan_replica(Replica(SMOLLM2, "vllm", ANY_CPU, MEASURED), LIMITS, degree=Degree(pipeline=4))
    assert plan.group is not None
    settings = engine_settings(args, plan)
    assert settings.group == plan.group.layout
    assert settings.stall_timeout_s == 60
    by_layers = {rank.shard.num_layers: rank.kv_cache_bytes for rank in plan.group.ranks}
    assert len(by_layers) > 1
    assert settings.kv_cache_bytes == by_layers[max(by_layers)] == max(by_layers.values())


def test_vllm_is_told_when_to_sleep() -> None:
    written = {"model": "m", "engine": "vllm", "vllm_python": "/v/python", "sleep_after_s": 60}
    plan = plan_replica(Replica(SMOLLM2, "vllm", H100, MEASURED), LIMITS)
    assert engine_settings(ModelArgs.model_validate(written), plan).sleep_after_s == 60


def test_on_a_gpu_the_engine_may_take_the_budget_beside_the_context() -> None:
    args, plan = planned(SMOLLM2, "transformers", H100, memory="30%")
    settings = engine_settings(args, plan)
    assert settings.device == "cuda:0"
    assert settings.device_cap_bytes == plan.budget_bytes - plan.term("context").bytes
    assert settings.kv_cache_bytes < settings.device_cap_bytes


@pytest.mark.parametrize(("memory", "capped"), [("auto", False), ("2GiB", True)])
def test_on_a_cpu_a_budget_that_was_given_is_a_cap(memory: str, capped: bool) -> None:
    args, plan = planned(MINILM, "onnx", memory=memory)
    cap = 2 * 1024**3 - plan.term("runtime").bytes
    assert engine_settings(args, plan).device_cap_bytes == (cap if capped else None)
