"""The placement group of a replica that is a group of ranks."""

from __future__ import annotations

import pytest
from ray import serve

from deployments.args import ModelArgs
from deployments.bundles import choose_bundles
from deployments.options import model_options
from deployments.reservation import Reservation, check_reservation, reserve
from deployments.routing.bundles import Bundles
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Device, Node
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory
from models.placement.slots import gpu_fraction
from tests.unit.group_plans import MIB, grouped
from tests.unit.manifests import SMOLLM2

H100 = device_named("h100-80gb")
T4 = device_named("t4-16gb")
NODES = [
    Node(name, 8, 64 * 1024**3, gpu, 2, labels={"ray.io/node-id": f"id{name}", "stowage.io/node": name})
    for name, gpu in (("a", H100), ("b", H100), ("t", T4))
]


class Replica:
    """Something to deploy."""


VLLM = {"engine": "vllm", "vllm_python": "/v/python"}


def planned(device: Device, tensor: int, pipeline: int, **changes: object) -> tuple[ModelArgs, MemoryPlan]:
    args = ModelArgs.model_validate({"model": "smollm2-135m", "num_cpus": 0.25, "parallel": "auto", **changes})
    engine = args.engine or "transformers"
    plan = plan_memory(SMOLLM2, args.limits, engine, device=device, budget_bytes=args.memory.on(device))
    return args, grouped(plan, tensor, pipeline)


def bundles(args: ModelArgs, plan: MemoryPlan) -> Bundles:
    assert plan.group is not None
    return choose_bundles(args, plan, plan.group, NODES)


def places(*nodes: str) -> list[dict[str, object]]:
    return [{"node": node, "devices": [index % 2]} for index, node in enumerate(nodes)]


def test_each_rank_has_a_bundle_with_its_own_bytes() -> None:
    args, plan = planned(H100, 1, 2, memory="60%", placement=places("a", "b"))
    chosen = bundles(args, plan)
    assert chosen.bundles == tuple(
        {
            "CPU": 0.25,
            "memory": float(plan.host_bytes),
            "GPU": gpu_fraction(plan.budget_bytes - rank * MIB, H100),
        }
        for rank in range(2)
    )


def test_on_a_cpu_node_a_bundle_has_the_memory_of_its_rank() -> None:
    args, plan = planned(ANY_CPU, 1, 2)
    assert [dict(bundle) for bundle in bundles(args, plan).bundles] == [
        {"CPU": 0.25, "memory": float(plan.budget_bytes)},
        {"CPU": 0.25, "memory": float(plan.budget_bytes - MIB)},
    ]


def test_what_a_stage_shares_is_divided_among_the_same_stages_on_a_node() -> None:
    nodes = [{"node": name} for name in ("a", "a", "a", "b")]  # of stages 0, 1, 0, 1
    args, plan = planned(ANY_CPU, 1, 2, placement=nodes, max_replicas=2, min_replicas=2)
    assert plan.shared_bytes > 0
    assert reserve(args, plan, 0) == Reservation(
        0.0, plan.budget_bytes - plan.shared_bytes + plan.shared_bytes // 2
    )
    assert reserve(args, plan, 1) == Reservation(0.0, plan.budget_bytes - MIB)


@pytest.mark.parametrize(
    ("tensor", "pipeline", "strategy"), [(3, 1, "STRICT_PACK"), (1, 2, "PACK"), (2, 2, "PACK")]
)
def test_only_stages_may_lie_on_different_nodes(tensor: int, pipeline: int, strategy: str) -> None:
    assert bundles(*planned(ANY_CPU, tensor, pipeline)).strategy == strategy


def test_each_rank_keeps_to_the_nodes_of_its_stage() -> None:
    written = [{"node": node, "devices": [0, 1]} for node in ("a", "b", "b", "a")]
    args, plan = planned(H100, 2, 2, placement=written[:2])
    assert bundles(args, plan).label_selectors == tuple({"stowage.io/node": f"in({name})"} for name in "aabb")
    args, plan = planned(H100, 2, 2, placement=written, max_replicas=2)
    assert bundles(args, plan).label_selectors == ({"stowage.io/node": "in(a,b)"},) * 4


def test_without_places_a_group_keeps_to_its_kind_of_gpu_and_each_rank_to_one() -> None:
    """Ray would put two ranks onto one GPU, if both fitted on it."""
    chosen = bundles(*planned(H100, 2, 1, memory="20%"))
    assert chosen.label_selectors == ({"stowage.io/node": "in(a,b)"},) * 2
    assert [bundle["GPU"] for bundle in chosen.bundles] == [0.5001] * 2
    assert bundles(*planned(H100, 2, 1, memory="20%", placement=[{"node": "a", "devices": [0, 1]}])).bundles[0][
        "GPU"
    ] == pytest.approx(0.2, abs=0.001)


def test_all_ranks_of_vllm_share_a_node() -> None:
    chosen = bundles(*planned(ANY_CPU, 2, 2, **VLLM))
    assert (len(chosen.bundles), chosen.strategy) == (4, "STRICT_PACK")


def test_without_places_the_replica_of_vllm_has_the_gpus_of_all_ranks() -> None:
    """To no other bundle would Ray assign them."""
    args, plan = planned(H100, 2, 2, memory="20%", **VLLM)
    assert [bundle.get("GPU") for bundle in bundles(args, plan).bundles] == [4.0, None, None, None]
    assert model_options(args, plan, NODES)["ray_actor_options"]["num_gpus"] == 4.0


def test_with_places_each_rank_of_vllm_asks_for_what_is_planned_on_its_gpu() -> None:
    place = {"node": "a", "devices": [0, 1]}
    chosen = bundles(*planned(H100, 1, 2, memory="20%", placement=[place], **VLLM))
    assert [bundle["GPU"] for bundle in chosen.bundles] == pytest.approx([0.2, 0.2], abs=0.001)
    assert chosen.label_selectors == ({"stowage.io/node": "in(a)"},) * 2


def test_on_cpu_nodes_every_node_will_do() -> None:
    assert bundles(*planned(ANY_CPU, 1, 2)).label_selectors == ()


@pytest.mark.parametrize(
    "changes",
    [{}, {"placement": places("a", "b")}, VLLM, {**VLLM, "placement": [{"node": "a", "devices": [0, 1]}]}],
)
def test_serve_takes_the_options(changes: dict[str, object]) -> None:
    """By Serve's own checks: nothing that it does not allow together, and a replica that fits in its bundle."""
    args, plan = planned(H100, 1, 2, memory="60%", **changes)
    options = model_options(args, plan, NODES)
    config = serve.deployment(**options)(Replica)._replica_config
    assert config.placement_group_bundles == [dict(each) for each in bundles(args, plan).bundles]
    actor = options["ray_actor_options"]
    assert {"CPU": actor["num_cpus"], "memory": actor["memory"], "GPU": actor["num_gpus"]} == (
        config.placement_group_bundles[0]
    )
    assert "label_selector" not in actor
    assert "max_replicas_per_node" not in options


def test_a_rank_that_has_less_than_its_bundle_says_so() -> None:
    args, plan = planned(ANY_CPU, 1, 2)
    less = plan.budget_bytes - MIB
    check_reservation(args, plan, {"memory": less}, rank=1)
    with pytest.raises(ConfigError, match=f"memory {less} of smollm2-135m@1 contradicts its plan"):
        check_reservation(args, plan, {"memory": less}, rank=0)
