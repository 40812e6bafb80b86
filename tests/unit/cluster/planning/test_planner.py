from __future__ import annotations

import pytest

from cluster.planning.planned import ClusterPlan
from cluster.planning.planner import plan_cluster
from cluster.terminal.options import ReplicaCount
from models.placement.slots import Slot
from tests.unit.cluster.clusters import (
    GIB,
    H100,
    application,
    config,
    cpu_node,
    find,
    gpu_node,
    planned,
)

POOL: dict[str, object] = {
    "name": "pool-small",
    "route_prefix": None,
    "import_path": "deployments.pool_app:build_pool",
    "args": {
        "name": "small",
        "memory": "2GiB",
        "num_replicas": 2,
        "models": [{"model": f"minilm-{i}"} for i in (1, 2)],
    },
}


def test_models_go_onto_gpus_where_their_engine_can_use_one() -> None:
    plan = planned([gpu_node(), cpu_node()], application("llama"), application("minilm", device="cpu"))
    llama, minilm = plan.models
    assert plan.problems == []
    assert plan.places(llama) == [Slot("gpu-0", (0,))]
    assert plan.places(minilm) == [Slot("cpu-0")]
    assert llama.reservation is not None
    assert llama.plan is not None
    assert llama.reservation.num_gpus >= llama.plan.budget_bytes / H100.usable_bytes
    assert llama.reservation.memory_bytes == llama.plan.host_bytes > 0


def test_what_a_plan_takes_of_a_gpu_is_its_budget() -> None:
    plan = planned([gpu_node()], application("llama", memory="40GiB"))
    (node,) = plan.bars()
    assert sum(bar.used_bytes for bar in node.bars if bar.index is not None) == 40 * GIB


def test_the_routers_take_their_cpus() -> None:
    nodes = [cpu_node(num_cpus=0.6)]
    assert planned(nodes, application("minilm", num_cpus=0.3)).problems == []
    (problem,) = planned(nodes, application("minilm", num_cpus=0.5)).problems
    assert "CPUs" in problem


def test_both_ends_of_the_range_can_be_planned() -> None:
    app = application("minilm", min_replicas=1, max_replicas=3)
    for at, num_replicas in ((ReplicaCount.MIN, 1), (ReplicaCount.MAX, 3)):
        plan = planned([cpu_node()], app, at=at)
        assert len(plan.places(plan.models[0])) == num_replicas


def test_replicas_on_one_node_share_their_weights() -> None:
    plan = planned([cpu_node()], application("minilm", min_replicas=3, max_replicas=3))
    model = plan.models[0].plan
    assert model is not None
    assert model.shared_bytes > 0
    (node,) = plan.bars()
    assert node.bars[0].used_bytes == 3 * model.budget_bytes - 2 * model.shared_bytes
    assert plan.booked_twice == ["minilm@1"]


def test_a_model_that_sleeps_has_no_place_but_must_fit_alone() -> None:
    asleep = application("smollm2-135m", min_replicas=0, limits={"max_model_len": 256})
    plan = planned([cpu_node(memory_bytes=2 * GIB)], asleep)
    assert plan.problems == []
    assert plan.waking == {"smollm2-135m@1": (Slot("cpu-0"),)}
    assert not plan.placement.slots.keys() - {("router", 0, 0)}

    beside_another = planned([cpu_node(memory_bytes=2 * GIB)], asleep, application("minilm", memory="1.5GiB"))
    assert beside_another.problems == []
    assert beside_another.waking == {"smollm2-135m@1": ()}

    too_many_cpus = application("minilm", min_replicas=0, num_cpus=16)
    (problem,) = planned([cpu_node()], too_many_cpus).problems
    assert "minilm@1" in problem
    assert "CPUs" in problem


def test_what_does_not_fit_is_proved_with_what_the_planner_offers() -> None:
    plan = planned(
        [gpu_node(num_devices=1)],
        application("llama", limits={"max_model_len": 8192, "max_num_seqs": 128}),
        application("llama-2", limits={"max_model_len": 8192, "max_num_seqs": 128}),
    )
    (misfit,) = plan.misfits
    assert "set limits.max_num_seqs to" in str(misfit)
    assert "add 1 node like gpu" in str(misfit)


def test_every_problem_is_told_at_once_and_the_rest_is_placed() -> None:
    plan = planned(
        [gpu_node(num_devices=1)],
        application("unknown"),
        application("llama", device="t4-16gb"),
        application("minilm", limits={"max_model_len": 9999}),
        application("minilm-2"),
    )
    unknown, wrong_device, too_long = plan.problems
    assert "unknown@1 is nowhere (name its source)" in unknown
    assert "'t4-16gb', but the cluster has h100-80gb" in wrong_device
    assert "max_model_len" in too_long
    assert plan.places(plan.models[3]) == [Slot("gpu-0", (0,))]
    assert [model.reservation is None for model in plan.models] == [True, True, True, False]


def test_written_places_hold_or_are_named() -> None:
    def plan_at(device: int) -> ClusterPlan:
        place = {"node": "gpu-0", "devices": [device]}
        return planned([gpu_node()], application("llama", placement=[place]), application("llama-2"))

    assert plan_at(1).placement.slots["llama@1", 0, 0] == Slot("gpu-0", (1,))
    misplaced = plan_at(7)
    assert misplaced.unfit == []
    (problem,) = misplaced.problems
    assert "llama@1: replica 0 cannot lie on gpu-0/7" in problem
    assert "stowage plan --write" in problem


def test_what_lies_somewhere_stays_there() -> None:
    keep = {("llama@1", 0, 0): Slot("gpu-1", (1,))}
    plan = plan_cluster(config(application("llama")), find, [gpu_node(), gpu_node("gpu-1")], keep=keep)
    assert plan.placement.slots["llama@1", 0, 0] == Slot("gpu-1", (1,))


def test_pools_are_placed_by_their_budget() -> None:
    plan = planned([cpu_node(), cpu_node("cpu-1")], POOL)
    (pool,) = plan.pools
    assert plan.problems == []
    assert plan.places(pool) == [Slot("cpu-0"), Slot("cpu-1")]
    assert [node.bars[0].used_bytes for node in plan.bars()] == [2 * GIB, 2 * GIB]


@pytest.mark.parametrize(("model", "reason"), [("unknown", "unknown@1 is nowhere"), ("smollm2-135m", "need")])
def test_a_pool_that_cannot_be_says_why(model: str, reason: str) -> None:
    pool: dict[str, object] = {**POOL, "args": {"name": "small", "memory": "1GiB", "models": [{"model": model}]}}
    (problem,) = planned([cpu_node()], pool).problems
    assert problem.startswith("pool-small: ")
    assert reason in problem


def test_what_no_node_holds_is_offered_between_several_and_then_planned_so() -> None:
    small = [cpu_node(f"cpu-{index}", GIB + 400 * 2**20) for index in range(2)]
    limits = {"max_model_len": 2048}
    alone = planned(small, application("smollm2-135m", limits=limits))
    assert "set parallel to auto, which is tensor 1 x pipeline 2" in alone.unfit[0]
    divided = planned(small, application("smollm2-135m", limits=limits, parallel="auto"))
    assert divided.unfit == []
    assert divided.models[0].num_ranks == 2
