from __future__ import annotations

import pytest

from deployments.args import ModelArgs
from deployments.planning import check_model_fits, plan_model
from models.devices import device_named
from models.errors import ConfigError, DoesNotFitError
from models.hardware import Node
from models.memory.overheads import MIB
from models.memory.plan import MemoryPlan
from models.parallel.layout import Degree
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

GIB = 1 << 30
T4, H100 = device_named("t4-16gb"), device_named("h100-80gb")
CPU_NODES = (Node("cpu-0", 8, 8 * GIB), Node("cpu-1", 8, 16 * GIB))
SMALL, LARGE = Node("t4", 8, 32 * GIB, T4, 1), Node("h100", 8, 32 * GIB, H100, 8)


def plan(*nodes: Node, **args: object) -> MemoryPlan:
    model = ModelArgs.model_validate({"model": "smollm2-135m", **args})
    return plan_model(model, SMOLLM2, nodes or CPU_NODES)


def test_without_gpus_it_is_the_memory_of_the_largest_node() -> None:
    assert (plan().device.kind, plan().device.usable_bytes) == ("cpu", 16 * GIB)
    assert plan(memory="25%").budget_bytes == 4 * GIB
    assert plan(node_memory="1GiB").device.usable_bytes == GIB


def test_with_gpus_it_is_one_where_the_engine_can_use_it() -> None:
    assert plan(*CPU_NODES, LARGE).device == H100
    assert plan(*CPU_NODES, LARGE, device="cpu").device.kind == "cpu"
    assert plan_model(ModelArgs(model="adder"), ADDER, [LARGE]).device.kind == "cpu"
    assert plan_model(ModelArgs(model="minilm"), MINILM, [LARGE]).device == H100


def test_of_several_kinds_it_is_the_smallest_that_holds_the_plan() -> None:
    assert plan(LARGE, SMALL).device == T4
    assert plan(LARGE, SMALL, memory="40GiB").device == H100
    assert plan(LARGE, SMALL, limits={"max_num_seqs": 256}).device == H100
    assert plan(LARGE, SMALL, device="h100-80gb").device == H100


def test_a_budget_that_only_a_larger_device_can_meet_is_met_there() -> None:
    """A twentieth of the small one is less than the weights, of the large one it is enough."""
    assert plan(LARGE, SMALL, memory="5%").device == H100


def test_a_node_type_without_gpus_in_it_offers_none() -> None:
    assert plan(Node("n", 8, GIB, H100, 0)).device.kind == "cpu"


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ({"device": "gpu"}, "wants device 'gpu', but the cluster has no GPU"),
        ({"device": "t4-16gb"}, "wants device 't4-16gb', but the cluster has no GPU"),
        ({"device": "t4"}, "t4-16gb"),
    ],
)
def test_a_device_that_the_cluster_lacks_is_refused(args: dict[str, object], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        plan(**args)


def test_an_engine_without_a_gpu_is_not_planned_onto_one() -> None:
    with pytest.raises(ConfigError, match="'onnx' does not run on a GPU"):
        plan_model(ModelArgs(model="adder", device="gpu"), ADDER, [LARGE])


def test_a_model_is_divided_where_the_operator_says_so() -> None:
    assert plan().group is None
    found = plan(parallel={"tensor": 3, "pipeline": 2}).group
    assert found is not None
    assert (found.degree, found.layout.num_ranks) == (Degree(3, 2), 6)
    with pytest.raises(ConfigError, match="2 does not divide 9 heads and 3 KV heads"):
        plan(parallel={"tensor": 2})


def test_auto_divides_what_no_device_holds_and_nothing_else() -> None:
    small = [Node(f"cpu-{index}", 8, GIB + 300 * MIB) for index in range(3)]
    short = {"max_model_len": 2048}
    assert plan(parallel="auto").group is None
    found = plan(*small, parallel="auto", limits=short).group
    assert found is not None
    assert found.degree == Degree(1, 2)
    with pytest.raises(DoesNotFitError, match="fits in no way in which it can be divided"):
        plan(*small[:1], parallel="auto", limits=short)


def test_a_node_type_that_does_not_exist_yet_counts_as_the_nodes_that_do() -> None:
    found = plan(*CPU_NODES, parallel="auto", node_memory="1300MiB", limits={"max_model_len": 2048})
    assert found.group is not None
    assert found.group.degree == Degree(1, 2)


def test_auto_takes_the_devices_of_which_fewest_hold_the_model() -> None:
    many = Node("t4", 64, 256 * GIB, T4, 8)
    limits = {"max_num_seqs": 200}
    on_t4 = plan(many, parallel="auto", limits=limits)
    assert on_t4.group is not None
    assert on_t4.group.num_ranks > 2
    assert plan(many, LARGE, parallel="auto", limits=limits).device == H100


def test_vllm_is_divided_within_one_node() -> None:
    vllm = {"engine": "vllm", "vllm_python": "/v/python", "limits": {"max_num_seqs": 200}}
    few = [Node(f"t4-{index}", 64, 256 * GIB, T4, 3) for index in range(4)]
    with pytest.raises(DoesNotFitError, match="fits in no way"):
        plan(*few, parallel="auto", **vllm)
    assert plan(*few, parallel="auto", limits=vllm["limits"]).group is not None
    with pytest.raises(ConfigError, match=r"none has more than 3 of these GPUs \(use engine: transf"):
        plan(*few, parallel={"pipeline": 4}, **vllm)
    found = plan(*few, parallel={"pipeline": 3}, **vllm)
    assert found.parts == Degree(3)


def test_weights_that_sleep_take_the_memory_of_the_node_and_need_a_gpu_to_leave() -> None:
    vllm = {"engine": "vllm", "vllm_python": "/v/python"}
    awake, sleeping = plan(LARGE, **vllm), plan(LARGE, **vllm, sleep_after_s=60)
    assert sleeping.terms == awake.terms
    assert sleeping.host_bytes - awake.host_bytes == SMOLLM2.weight_bytes
    assert sleeping.host_terms[-1].name == "sleeping_weights"
    message = r"sleep_after_s of smollm2-135m@1 is 60, but it gets a CPU.* \(set min_replicas to 0"
    with pytest.raises(ConfigError, match=message):
        plan(**vllm, sleep_after_s=60)


def test_each_rank_sleeps_with_its_own_shard() -> None:
    vllm = {"engine": "vllm", "vllm_python": "/v/python", "parallel": {"pipeline": 3}}
    found = plan(LARGE, **vllm, sleep_after_s=60).group
    assert found is not None
    shards = [{term.name: term.bytes for term in rank.terms}["weights"] for rank in found.ranks]
    assert [rank.host_terms[-1].bytes for rank in found.ranks] == shards
    assert len(set(shards)) > 1


def test_a_model_that_fits_no_device_is_offered_the_degree_that_would() -> None:
    small = [Node(f"cpu-{index}", 8, GIB + 300 * MIB) for index in range(3)]
    args = ModelArgs.model_validate({"model": "smollm2-135m", "limits": {"max_model_len": 2048}})
    too_large = plan_model(args, SMOLLM2, small)
    offer = "or set parallel to auto, which is tensor 1 x pipeline 2 on these nodes"
    with pytest.raises(DoesNotFitError, match=offer):
        check_model_fits(args, SMOLLM2, too_large, small)
    with pytest.raises(DoesNotFitError) as alone:
        check_model_fits(args, SMOLLM2, plan_model(args, SMOLLM2, small[:1]), small[:1])
    assert "parallel" not in str(alone.value)
    check_model_fits(args, SMOLLM2, plan_model(args, SMOLLM2, CPU_NODES), CPU_NODES)


def test_a_degree_that_is_too_small_is_refused_with_the_one_that_is_not() -> None:
    small = [Node(f"cpu-{index}", 8, 1100 * MIB) for index in range(3)]
    limits = {"max_model_len": 2048}
    args = ModelArgs.model_validate({"model": "smollm2-135m", "limits": limits, "parallel": {"pipeline": 2}})
    with pytest.raises(DoesNotFitError, match=r"needs .* on a device \(tensor 1 x pipeline 2\).*pipeline 3"):
        check_model_fits(args, SMOLLM2, plan_model(args, SMOLLM2, small), small)
