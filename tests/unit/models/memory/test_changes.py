"""What a refusal suggests: it fits, one more does not, and the smallest sacrifice goes first."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.errors import DoesNotFitError
from models.manifest import Manifest
from models.memory.changes import Change
from models.memory.overheads import MEASURED, MIB, Overhead, Overheads
from models.memory.plan import MemoryPlan, cheaper, check_fits, plan_memory
from models.spec import EngineName, Limits
from models.types import WeightFormat
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

Served = tuple[Manifest, EngineName]
GRAPH = MINILM.model_copy(update={"format": WeightFormat.ONNX, "architecture": None})
SIZED: list[Served] = [(SMOLLM2, "transformers"), (MINILM, "embedding"), (GRAPH, "onnx")]
LIMITS = st.builds(
    Limits,
    max_model_len=st.integers(1, 256),
    max_num_seqs=st.integers(1, 64),
    max_batch_size=st.integers(1, 64),
    page_size=st.integers(4, 64),
)


def changed(served: Served, limits: Limits, change: Change, more: int = 0) -> int:
    """Bytes after ``change``, its last limit raised by ``more``."""
    manifest, engine = served
    values = {name.removeprefix("limits."): value for name, value in change.settings}
    if "dtype" in values:
        halved = {"dtype": values.pop("dtype"), "weight_bytes": manifest.weight_bytes // 2}
        manifest = manifest.model_copy(update=halved)
    if values:
        last = list(values)[-1]
        values[last] = int(values[last]) + more
    return plan_memory(manifest, limits.model_copy(update=values), engine).total_bytes


@pytest.mark.parametrize("served", SIZED)
@given(limits=LIMITS, share=st.floats(0, 1, exclude_max=True))
def test_each_change_fits_and_one_more_does_not(served: Served, limits: Limits, share: float) -> None:
    plan = plan_memory(served[0], limits, served[1])
    available = int(plan.total_bytes * share)
    for change in cheaper(plan, served[0], limits, available):
        assert changed(served, limits, change) == change.total_bytes <= available
        if change.settings[-1][0] != "dtype":
            assert changed(served, limits, change, more=1) > available


@pytest.mark.parametrize("served", SIZED)
@given(limits=LIMITS, share=st.floats(0, 1, exclude_max=True))
def test_something_is_suggested_whenever_the_smallest_limits_fit(
    served: Served, limits: Limits, share: float
) -> None:
    least = limits.model_copy(update={"max_model_len": 1, "max_num_seqs": 1, "max_batch_size": 1})
    smallest, plan = plan_memory(served[0], least, served[1]), plan_memory(served[0], limits, served[1])
    available = smallest.total_bytes + int((plan.total_bytes - smallest.total_bytes) * share)
    assume(available < plan.total_bytes)
    assert cheaper(plan, served[0], limits, available)
    with pytest.raises(DoesNotFitError, match=r"or less|to 1"):
        check_fits(plan, served[0], limits, available, "the node")


def test_the_smallest_sacrifice_goes_first() -> None:
    limits = Limits(max_model_len=2048)
    plan = plan_memory(SMOLLM2, limits, "transformers")
    names = [[name for name, _ in each.settings] for each in cheaper(plan, SMOLLM2, limits, 1536 * MIB)]
    assert names == [["limits.max_num_seqs"], ["limits.max_model_len"], ["dtype"]]


def test_a_budget_larger_than_its_limits_need_is_cut_first() -> None:
    limits = Limits(max_model_len=256, max_num_seqs=2)
    plan = plan_memory(SMOLLM2, limits, "transformers", budget_bytes=4096 * MIB)
    assert cheaper(plan, SMOLLM2, limits, 2048 * MIB) == (Change((("memory", 2048 * MIB),), 2048 * MIB),)
    with pytest.raises(DoesNotFitError, match=r"needs 4\.0 GiB .* \(set memory to 2147483648 or less"):
        check_fits(plan, SMOLLM2, limits, 2048 * MIB, "the node")


def test_smaller_weights_are_suggested_where_no_limits_help() -> None:
    limits = Limits(max_model_len=2048)
    plan = plan_memory(SMOLLM2, limits, "transformers")
    names = [[name for name, _ in each.settings] for each in cheaper(plan, SMOLLM2, limits, 800 * MIB)]
    assert names == [["dtype", "limits.max_num_seqs"], ["dtype", "limits.max_model_len"]]
    assert cheaper(plan, SMOLLM2, limits, 512 * MIB) == ()


def refusal(plan: MemoryPlan, available_bytes: int) -> str:
    with pytest.raises(DoesNotFitError) as refused:
        check_fits(plan, SMOLLM2, Limits(max_model_len=2048), available_bytes, "the largest node, n1,")
    return str(refused.value)


def test_a_refusal_gives_sum_terms_limit_and_remedy() -> None:
    plan = plan_memory(SMOLLM2, Limits(max_model_len=2048), "transformers")
    message = refusal(plan, 1536 * MIB)
    assert message.startswith("smollm2-135m@1 needs 1.8 GiB (weights 513.1 MiB + kv_cache 722.8 MiB + attention ")
    assert message.endswith(
        "+ runtime 406.0 MiB), but the largest node, n1, has 1.5 GiB "
        "(set limits.max_num_seqs to 5 or less, or use a larger node)"
    )


def test_a_refusal_suggests_what_fits_with_the_overheads_of_the_plan() -> None:
    heavy = Overhead(engine="transformers", kind="cpu", host_bytes=1024 * MIB, source="here")
    table = MEASURED.updated(Overheads(entries=(heavy,)))
    limits = Limits(max_model_len=2048)
    plan = plan_memory(SMOLLM2, limits, "transformers", overheads=table)
    with pytest.raises(DoesNotFitError, match=r"set limits\.max_num_seqs to (\d+) or less") as refused:
        check_fits(plan, SMOLLM2, limits, 2304 * MIB, "the node", table)
    (suggested, *_) = cheaper(plan, SMOLLM2, limits, 2304 * MIB, table)
    assert str(suggested) in str(refused.value)
    assert suggested != cheaper(plan, SMOLLM2, limits, 2304 * MIB)[0]


def test_a_model_that_fits_under_no_limits_says_so() -> None:
    plan = plan_memory(SMOLLM2, Limits(max_model_len=2048), "transformers")
    assert refusal(plan, 256 * MIB).endswith("(use a larger node: the model does not fit with any limits)")


def test_a_graph_of_any_shapes_has_nothing_to_change() -> None:
    plan = plan_memory(ADDER, Limits(), "onnx")
    assert cheaper(plan, ADDER, Limits(), 64 * MIB) == ()
