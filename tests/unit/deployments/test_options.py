"""The plan becomes Serve's options, and Serve takes them."""

from __future__ import annotations

import pytest
from ray import serve

from deployments.args import ModelArgs, RouterArgs
from deployments.options import DeploymentOptions, engine_settings, model_options, router_options
from models.engines.base import EngineSettings
from models.manifest import Manifest
from models.memory import MemoryPlan, plan_memory
from models.spec import EngineName, Limits
from tests.unit.manifests import MINILM, SMOLLM2

LIMITS = Limits(max_model_len=2048, max_num_seqs=4, max_batch_size=16, max_batch_tokens=256, page_size=16)


def planned(manifest: Manifest, engine: EngineName, **changes: int) -> tuple[ModelArgs, MemoryPlan]:
    limits = LIMITS if engine == "transformers" else LIMITS.model_copy(update={"max_model_len": 128})
    args = ModelArgs.model_validate({"model": manifest.name, "limits": limits.model_dump(), **changes})
    return args, plan_memory(manifest, limits, engine)


def test_the_plan_is_what_ray_is_asked_for() -> None:
    args, plan = planned(SMOLLM2, "transformers", num_cpus=2)
    assert model_options(args, plan)["ray_actor_options"] == {"num_cpus": 2, "memory": plan.total_bytes}


@pytest.mark.parametrize(
    ("manifest", "engine", "at_once"), [(SMOLLM2, "transformers", 4), (MINILM, "embedding", 16)]
)
def test_a_replica_takes_twice_what_it_runs_at_once(manifest: Manifest, engine: EngineName, at_once: int) -> None:
    args, plan = planned(manifest, engine, max_queued_requests=7)
    options = model_options(args, plan)
    assert (options["max_ongoing_requests"], options["max_queued_requests"]) == (2 * at_once, 7)


def test_a_fixed_number_of_replicas_is_not_scaled() -> None:
    options = model_options(*planned(SMOLLM2, "transformers", min_replicas=3, max_replicas=3))
    assert options["num_replicas"] == 3
    assert "autoscaling_config" not in options


def test_a_range_of_replicas_is_scaled_from_its_lower_end() -> None:
    options = model_options(*planned(SMOLLM2, "transformers", min_replicas=0, max_replicas=2))
    assert "num_replicas" not in options
    scaling = options["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["initial_replicas"], scaling["max_replicas"]) == (0, 0, 2)
    assert 1 <= scaling["target_ongoing_requests"] < options["max_ongoing_requests"]


@pytest.mark.parametrize(
    "options",
    [
        model_options(*planned(SMOLLM2, "transformers")),
        model_options(*planned(MINILM, "embedding", min_replicas=0, max_replicas=2)),
        router_options(RouterArgs(num_replicas=2)),
    ],
    ids=["fixed", "scaled", "router"],
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
        num_threads=2,
        device="cpu",
    )
