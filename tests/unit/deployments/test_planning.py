from __future__ import annotations

import pytest

from deployments.args import ModelArgs
from deployments.planning import plan_model
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Node
from models.memory.plan import MemoryPlan
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
