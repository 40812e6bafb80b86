"""Models that are divided, from their args to the places of their ranks."""

from __future__ import annotations

import pytest
from rich.console import Console

from cluster.planning.palette import assign_marks
from cluster.planning.picture import draw_nodes
from cluster.planning.plan_report import report_plan
from cluster.planning.plan_tables import print_plan
from cluster.planning.planned import ClusterPlan
from models.hardware import Node
from tests.unit.cluster.clusters import GIB, application, cpu_node, gpu_node, planned

NODES = (gpu_node("gpu-0", 4), gpu_node("gpu-1", 4))
TWO_BY_THREE = {"tensor": 3, "pipeline": 2}


def divided(nodes: tuple[Node, ...], parallel: object, **args: object) -> ClusterPlan:
    return planned(nodes, application("smollm2-135m", parallel=parallel, **args))


def placed(plan: ClusterPlan) -> list[tuple[int, tuple[int, ...], str | None, tuple[int, ...]]]:
    (model,) = report_plan(plan).models
    return [(place.replica, place.ranks, place.node, place.devices) for place in model.places]


def test_each_rank_has_a_node_and_a_gpu() -> None:
    plan = divided(NODES, TWO_BY_THREE)
    assert plan.problems == []
    (first, second) = placed(plan)
    assert {first[2], second[2]} == {"gpu-0", "gpu-1"}
    assert [first[:2], second[:2]] == [(0, (0, 1, 2)), (0, (3, 4, 5))]
    assert first[3] == second[3] == (0, 1, 2)


def test_all_ranks_of_vllm_lie_on_one_node() -> None:
    vllm = {"engine": "vllm", "vllm_python": "/v/python"}
    plan = divided((gpu_node("gpu-0", 2), gpu_node("gpu-1", 4)), {"pipeline": 3}, **vllm)
    assert plan.problems == []
    assert placed(plan) == [(0, (0, 1, 2), "gpu-1", (0, 1, 2))]
    assert divided((gpu_node("gpu-0", 2), gpu_node("gpu-1", 2)), {"pipeline": 3}, **vllm).problems


def test_each_rank_is_a_segment_of_its_gpu_with_its_own_number() -> None:
    plan = divided(NODES, TWO_BY_THREE)
    drawn = {
        str(segment): (bar.node, bar.index)
        for node in plan.bars()
        for bar in node.bars
        for segment in bar.segments
        if bar.index is not None
    }
    assert drawn == {
        f"smollm2-135m@1 replica 0 rank {rank}": (node, gpu)
        for _, ranks, node, gpus in placed(plan)
        for rank, gpu in zip(ranks, gpus, strict=True)
    }
    assert len(drawn) == 6
    marks = assign_marks(["smollm2-135m@1"])
    lines = [line.plain for line in draw_nodes(plan.bars(), marks, 1200, colour=True)]
    assert sum("A smollm2-135m@1 rank " in line for line in lines) >= 6


def test_the_table_says_which_rank_is_where() -> None:
    console = Console(width=400, record=True)
    plan = divided(NODES, TWO_BY_THREE)
    with console.capture() as captured:
        print_plan(console, plan, assign_marks(["smollm2-135m@1"]))
    first, second = (node for _, _, node, _ in placed(plan))
    assert f"ranks 0-2 {first}/0+1+2, ranks 3-5 {second}/0+1+2" in captured.get()


@pytest.mark.parametrize(
    ("nodes", "parallel"),
    [
        (NODES, TWO_BY_THREE),
        (NODES, {"tensor": 3}),
        ((cpu_node("c0", 8 * GIB), cpu_node("c1", 8 * GIB)), {"pipeline": 2}),
    ],
)
def test_what_is_written_is_planned_again(nodes: tuple[Node, ...], parallel: object) -> None:
    replicas = {"min_replicas": 2, "max_replicas": 2}
    plan = divided(nodes, parallel, **replicas)
    assert plan.problems == []
    turned = [*placed(plan)[len(placed(plan)) // 2 :], *placed(plan)[: len(placed(plan)) // 2]]
    written = [{"node": node, "devices": devices} for _, _, node, devices in turned]
    again = divided(nodes, parallel, placement=written, **replicas)
    assert again.problems == []
    assert [each[2:] for each in placed(again)] == [each[2:] for each in turned]


def test_a_place_that_is_gone_is_named() -> None:
    written = [{"node": "gpu-0", "devices": [0, 1, 2]}, {"node": "gone", "devices": [0, 1, 2]}]
    (problem,) = divided(NODES, TWO_BY_THREE, placement=written).problems
    assert problem.startswith(
        "smollm2-135m@1: replica 0 cannot lie on gone/0+1+2, where its placement puts it, but on"
    )


def test_a_group_that_sleeps_has_a_place_for_each_stage() -> None:
    plan = divided(NODES, TWO_BY_THREE, min_replicas=0)
    (model,) = report_plan(plan).models
    assert model.places == ()
    assert model.wakes_on is not None
    assert [place.ranks for place in model.wakes_on] == [(0, 1, 2), (3, 4, 5)]
    assert {place.node for place in model.wakes_on} == {"gpu-0", "gpu-1"}
    assert len(plan.placement.slots) == 1  # the router's: nothing is kept for it


def test_a_group_without_room_says_which_ranks_have_none() -> None:
    nodes = (gpu_node("gpu-0", 3), gpu_node("gpu-1", 2))
    (problem,) = divided(nodes, TWO_BY_THREE).problems
    assert problem.startswith(
        "smollm2-135m@1: no place for replica 0: it needs 6 h100-80gb, one for each rank; all"
    )
    (problem,) = divided((*nodes, gpu_node("gpu-2", 2)), TWO_BY_THREE).problems
    assert "its ranks 3 to 5 need " in problem or "its ranks 0 to 2 need " in problem
    assert "are free on each of 3 on one node without its other ranks" in problem
