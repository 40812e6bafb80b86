"""What the replicas of a planned model take of a cluster."""

from __future__ import annotations

from cluster.planning.planned import ClusterPlan, PlannedModel
from models.hardware import Device
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory
from models.placement.search import place
from models.placement.slots import Slot
from models.spec import Limits
from tests.unit.cluster.clusters import H100, application, config, gpu_node
from tests.unit.group_plans import MIB, grouped
from tests.unit.manifests import SMOLLM2


def planned(device: Device, tensor: int, pipeline: int) -> tuple[PlannedModel, MemoryPlan]:
    plan = plan_memory(SMOLLM2, Limits(), "transformers", device=device)
    (model,) = config(application("smollm2-135m", num_cpus=0.25)).models
    return PlannedModel(model, 2, plan=grouped(plan, tensor, pipeline)), plan


def test_a_replica_that_is_not_divided_has_one_demand() -> None:
    whole = plan_memory(SMOLLM2, Limits(), "transformers", device=ANY_CPU)
    (model,) = config(application("smollm2-135m", num_cpus=0.25)).models
    (demand,) = PlannedModel(model, 1, plan=whole).demands(0)
    assert demand.device_bytes + demand.shared_bytes == whole.budget_bytes
    assert (demand.num_ranks, demand.num_parts, demand.num_cpus) == (1, 1, 0.25)


def test_each_stage_is_a_demand_for_its_ranks() -> None:
    model, whole = planned(H100, 2, 2)
    first, second = model.demands(1)
    assert [first.key, second.key] == [("smollm2-135m@1", 1, 0), ("smollm2-135m@1", 1, 1)]
    assert [list(first.ranks), list(second.ranks)] == [[0, 1], [2, 3]]
    assert [first.device_bytes, second.device_bytes] == [whole.budget_bytes, whole.budget_bytes - 2 * MIB]
    assert first.host_bytes == second.host_bytes == 2 * whole.host_bytes
    assert (first.num_cpus, first.shared_bytes, first.num_parts) == (0.5, 0, 2)
    assert (model.num_ranks, model.num_parts) == (4, 2)


def test_on_a_cpu_node_what_is_shared_is_counted_apart() -> None:
    model, whole = planned(ANY_CPU, 1, 2)
    second = model.demands(0)[1]
    assert second.shared_bytes == whole.shared_bytes > 0
    assert second.device_bytes + second.shared_bytes == whole.budget_bytes - MIB


def test_a_replica_has_as_many_places_as_stages() -> None:
    model, _ = planned(H100, 2, 2)
    demands = tuple(part for replica in range(2) for part in model.demands(replica))
    nodes = (gpu_node("a", 4), gpu_node("b", 2))
    placement = place(demands, nodes, keep={("smollm2-135m@1", 0, 0): Slot("a", (1, 2))})
    plan = ClusterPlan(nodes, (model,), (), demands, placement, (), {}, ())
    places = plan.places(model)
    assert places == [placement.slots[demand.key] for demand in demands]
    assert places[0] == Slot("a", (1, 2))
    assert places[1] == Slot("a", (0, 3))
    drawn = [str(each) for node in plan.bars() for bar in node.bars[:-1] for each in bar.segments]
    assert sum("replica 0 rank" in each for each in drawn) == 4
