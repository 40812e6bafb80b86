from __future__ import annotations

import io

from rich.console import Console

from cluster.planning.palette import assign_marks
from cluster.planning.plan_tables import format_places, print_plan
from cluster.planning.planned import ClusterPlan
from models.placement.slots import Slot
from tests.unit.cluster.clusters import application, cpu_node, gpu_node, planned
from tests.unit.cluster.planning.test_planner import POOL

PLAN = planned(
    [gpu_node(), cpu_node()],
    application("llama", min_replicas=2, max_replicas=4, limits={"max_num_seqs": 4}),
    application("minilm", device="cpu", min_replicas=0),
    application("unknown"),
    POOL,
)


def shown(plan: ClusterPlan, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    print_plan(console, plan, assign_marks(each.name for each in plan.everything))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_wide_terminals_get_the_terms_and_the_places_as_tables() -> None:
    lines = shown(PLAN, 200)
    assert lines[0].startswith("model engine weights kv_cache attention")
    assert lines[0].endswith("total node memory")
    assert lines[1].startswith("llama@1 transformers 15.0 GiB")
    assert lines[3].split()[:2] == ["unknown@1", "-"]
    assert lines[4].startswith("pool-small pool of 2 - -")
    assert lines[4].endswith("2.0 GiB -")
    where = lines[7:]
    assert where[0].startswith("A llama@1 h100-80gb")
    assert where[0].endswith("1 2 of 2-4 gpu-0/0, gpu-0/1")
    assert where[1].endswith("1 0 of 0-1 asleep; wakes on cpu-0")
    assert where[2] == "C unknown@1 - - - - 1 nowhere"
    assert where[3] == "D pool-small cpu 2.0 GiB memory 2.0 GiB 1 2 cpu-0, gpu-0"


def test_narrow_terminals_get_a_paragraph_for_each_model_with_the_same_facts() -> None:
    for width in (60, 100):
        lines = shown(PLAN, width)
        text = " ".join(lines)
        assert lines[0] == "A llama@1"
        assert "of h100-80gb = weights 15.0 GiB + kv_cache" in text
        assert "reserves per replica: num_gpus 0." in text
        assert "replicas: 2 of 2-4; where: gpu-0/0, gpu-0/1" in text
        assert "2.0 GiB of cpu" in text
        assert "replicas: 1; where: nowhere" in text


def test_the_same_place_is_counted() -> None:
    assert format_places([Slot("a"), Slot("b", (0, 1)), Slot("a"), None]) == "2 x a, b/0+1, nowhere"
    assert format_places([]) == "-"


def test_each_rank_of_a_group_has_its_own_row_of_terms() -> None:
    divided = application("smollm2-135m", parallel={"pipeline": 2}, limits={"max_model_len": 2048})
    lines = shown(planned([cpu_node(), cpu_node("cpu-1")], divided), 200)
    assert lines[1].startswith("smollm2-135m@1 rank 0 layers 16-29 297.1 MiB")
    assert lines[2].startswith("smollm2-135m@1 rank 1 layers 0-15 324.1 MiB")
    assert lines[2].split().count("-") == 1  # it computes no scores
