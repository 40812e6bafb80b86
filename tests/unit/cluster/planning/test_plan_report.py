from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Union, get_args, get_origin

from pydantic import BaseModel

from cluster.planning.plan_report import PlanReport, report_plan
from tests.markdown import code_spans, table
from tests.unit.cluster.clusters import application, cpu_node, gpu_node, planned
from tests.unit.cluster.planning.test_planner import POOL
from tests.unit.source_tree import ROOT

PLANNING = (ROOT / "docs" / "planning.md").read_text()


def paths(annotation: object, path: str = "") -> Iterator[str]:
    """The path of every value of a report: ``models[].plan.terms[].bytes``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, info in annotation.model_fields.items():
            yield from paths(info.annotation, f"{path}.{name}".removeprefix("."))
    elif get_origin(annotation) is tuple:
        yield from paths(get_args(annotation)[0], f"{path}[]")
    elif get_origin(annotation) in (Union, types.UnionType):
        yield from paths(get_args(annotation)[0], path)
    else:
        yield path


def test_every_field_is_documented() -> None:
    documented = [span for row in table(PLANNING, "## JSON") for span in code_spans(row[0])]
    assert sorted(documented) == sorted(paths(PlanReport))


def test_a_report_survives_json_and_agrees_with_the_plan() -> None:
    plan = planned(
        [gpu_node(price=3.5), cpu_node()],
        application("llama", min_replicas=2, max_replicas=2),
        application("minilm", device="cpu", min_replicas=0),
        application("unknown"),
        POOL,
    )
    report = report_plan(plan)
    assert PlanReport.model_validate_json(report.model_dump_json()) == report
    llama, minilm, unknown = report.models
    assert report.fits is False
    assert report.problems == (unknown.problem,)
    assert [(place.node, place.devices) for place in llama.places] == [("gpu-0", (0,)), ("gpu-0", (1,))]
    assert minilm.places == ()
    assert minilm.wakes_on is not None
    assert minilm.wakes_on[0].node == "cpu-0"
    assert unknown.plan is None
    (pool,) = report.pools
    assert pool.runtime_bytes is not None
    assert pool.runtime_bytes + sum(model.bytes for model in pool.models) < pool.budget_bytes
    gpus = [device for node in report.nodes for device in node.devices if device.index is not None]
    assert report.gpus.used_bytes == sum(segment.bytes for device in gpus for segment in device.segments)
    assert report.cost_per_hour is not None
    assert (report.cost_per_hour.used_nodes, report.cost_per_hour.num_unpriced_nodes) == (3.5, 1)


def test_a_group_is_told_rank_by_rank() -> None:
    divided = application("smollm2-135m", parallel={"tensor": 3, "pipeline": 2}, limits={"max_model_len": 2048})
    report = report_plan(planned([cpu_node()], divided))
    (note,) = report.notes
    assert note.startswith("smollm2-135m@1: a second group has room")
    plan = report.models[0].plan
    assert plan is not None
    assert PlanReport.model_validate_json(report.model_dump_json()) == report
    assert [(rank.rank, rank.stage, rank.tensor_index) for rank in plan.ranks] == [
        (0, 1, 0), (1, 1, 1), (2, 1, 2), (3, 0, 0), (4, 0, 1), (5, 0, 2),
    ]  # fmt: skip
    first, last = plan.ranks[3], plan.ranks[0]
    assert (first.first_layer, first.stop_layer, last.stop_layer) == (0, last.first_layer, 30)
    assert all(sum(term.bytes for term in rank.terms) == rank.total_bytes for rank in plan.ranks)
    assert plan.total_bytes == max(rank.total_bytes for rank in plan.ranks)
    alone = report_plan(planned([cpu_node()], application("smollm2-135m"))).models[0].plan
    assert alone is not None
    assert alone.ranks == ()
