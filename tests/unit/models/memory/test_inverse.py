"""From a budget to limits: consistent with the way from limits to bytes, and never worse with more."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.errors import DoesNotFitError
from models.hardware import Device
from models.manifest import Manifest
from models.memory.inverse import limits_within
from models.memory.overheads import MEASURED, MIB
from models.memory.plan import ANY_CPU, plan_memory
from models.memory.sizing import Replica, count_field, largest
from models.spec import EngineName, Limits
from tests.unit.manifests import ADDER, MINILM, SMOLLM2
from tests.unit.models.known_models import known

GIB = 1024 * MIB
GPU = Device("h100-80gb", "cuda", 80 * GIB, 78 * GIB, "H100")
HYBRID, LLAMA = known("gemma-3-1b").manifest(), known("llama-3.1-8b").manifest()

# A model, its engine, where it runs, and the budgets that are tried.
Case = tuple[Manifest, EngineName, Device, int]
CASES: list[Case] = [
    (SMOLLM2, "transformers", ANY_CPU, 4 * GIB),
    (HYBRID, "transformers", ANY_CPU, 16 * GIB),
    (LLAMA, "transformers", GPU, 78 * GIB),
    (MINILM, "embedding", ANY_CPU, 2 * GIB),
]
IDS = ["smollm2", "gemma-3 hybrid", "llama on a gpu", "minilm"]
EACH = pytest.mark.parametrize("case", CASES, ids=IDS)
SHARES = st.floats(0, 1)
# What an operator may have set; the rest follows from the budget.
SET = st.fixed_dictionaries(
    {},
    optional={
        "max_model_len": st.integers(1, 256),
        "max_num_seqs": st.integers(1, 32),
        "max_batch_size": st.integers(1, 64),
        "max_batch_tokens": st.integers(16, 1024),
        "page_size": st.integers(4, 64),
    },
)


def replica_of(case: Case) -> Replica:
    return Replica(case[0], case[1], case[2], MEASURED)


def smallest(case: Case, given_limits: Limits) -> int:
    """Bytes with the smallest limits that do not contradict those given."""
    field = count_field(case[1])
    length = given_limits.max_model_len or 1
    number = getattr(given_limits, field) if field in given_limits.model_fields_set else 1
    return replica_of(case).total_bytes(given_limits.model_copy(update={"max_model_len": length, field: number}))


def budget_of(case: Case, given_limits: Limits, share: float) -> int:
    low = smallest(case, given_limits)
    return low + int(share * max(0, case[3] - low))


@EACH
@given(values=SET, share=SHARES)
def test_a_plan_never_exceeds_its_budget(case: Case, values: dict[str, int], share: float) -> None:
    given_limits = Limits(**values)
    budget = budget_of(case, given_limits, share)
    plan = plan_memory(case[0], given_limits, case[1], device=case[2], budget_bytes=budget)
    assert plan.total_bytes <= plan.budget_bytes == budget
    assert plan.num_kv_pages >= replica_of(case).num_pages(limits_within(replica_of(case), given_limits, budget))


@EACH
@given(values=SET, share=SHARES)
def test_the_limits_need_no_more_than_the_budget_and_one_more_does(
    case: Case, values: dict[str, int], share: float
) -> None:
    given_limits, replica = Limits(**values), replica_of(case)
    budget = budget_of(case, given_limits, share)
    found = limits_within(replica, given_limits, budget)
    assert plan_memory(case[0], found, case[1], device=case[2]).total_bytes <= budget
    field = count_field(case[1])
    most = min(1024, found.max_batch_tokens) if field == "max_num_seqs" else 4096
    if field not in values and getattr(found, field) < most:
        one_more = found.model_copy(update={field: getattr(found, field) + 1})
        assert replica.total_bytes(one_more) > budget


@EACH
@given(values=SET, share=SHARES)
def test_what_was_set_stays(case: Case, values: dict[str, int], share: float) -> None:
    given_limits = Limits(**values)
    found = limits_within(replica_of(case), given_limits, budget_of(case, given_limits, share))
    assert {name: getattr(found, name) for name in values} == values


@EACH
@given(values=SET, shares=st.tuples(SHARES, SHARES))
def test_more_budget_never_gives_smaller_limits(
    case: Case, values: dict[str, int], shares: tuple[float, float]
) -> None:
    given_limits = Limits(**values)
    less, more = (
        plan_memory(
            case[0], given_limits, case[1], device=case[2], budget_bytes=budget_of(case, given_limits, share)
        )
        for share in sorted(shares)
    )
    assert less.max_model_len <= more.max_model_len
    assert less.max_batch_size <= more.max_batch_size
    # One more sequence also takes logits and a mask, out of pages that were to spare.
    assert (less.max_num_seqs, less.num_kv_pages) <= (more.max_num_seqs, more.num_kv_pages)


@EACH
@given(values=SET, share=SHARES)
def test_the_context_is_cut_only_where_not_even_one_sequence_fits(
    case: Case, values: dict[str, int], share: float
) -> None:
    given_limits, replica = Limits(**values), replica_of(case)
    assume("max_model_len" not in values)
    budget = budget_of(case, given_limits, share)
    found = limits_within(replica, given_limits, budget)
    assert found.max_model_len is not None
    if found.max_model_len < replica.model_len(given_limits):
        assert replica.total_bytes(found.model_copy(update={"max_model_len": found.max_model_len + 1})) > budget
        field = count_field(case[1])
        assert getattr(found, field) == values.get(field, 1)


@EACH
def test_the_cache_takes_what_the_other_terms_leave(case: Case) -> None:
    plan = plan_memory(case[0], Limits(), case[1], device=case[2], budget_bytes=case[3])
    if plan.engine != "transformers":
        assert plan.num_kv_pages == 0
        return
    layout = replica_of(case).layout(Limits())
    assert layout is not None
    more = layout.num_pages(layout.num_sectors(plan.num_kv_pages) + 1)
    limits = Limits(max_model_len=plan.max_model_len, max_num_seqs=plan.max_num_seqs)
    assert replica_of(case).total_bytes(limits, more) > case[3]


def test_limits_that_were_set_are_refused_with_both_values() -> None:
    limits = Limits(max_model_len=2048, max_num_seqs=8)
    with pytest.raises(DoesNotFitError) as refused:
        plan_memory(SMOLLM2, limits, "transformers", budget_bytes=GIB)
    needed = plan_memory(SMOLLM2, limits, "transformers").total_bytes
    assert str(refused.value) == (
        "memory of smollm2-135m@1 is 1,073,741,824 B, but limits.max_num_seqs 8 and limits.max_model_len 2048 "
        f"need {needed:,} B (set memory to {needed} or more or set limits.max_model_len to 96 or less)"
    )


def test_a_budget_below_the_weights_holds_nothing() -> None:
    with pytest.raises(DoesNotFitError, match=r"limits.max_num_seqs 1 and limits.max_model_len 1 need"):
        plan_memory(SMOLLM2, Limits(), "transformers", budget_bytes=512 * MIB)


def test_where_bytes_do_not_tell_the_number_of_inputs_the_default_stays() -> None:
    assert plan_memory(ADDER, Limits(), "onnx", budget_bytes=GIB).max_batch_size == Limits().max_batch_size


@given(low=st.integers(0, 50), count=st.integers(0, 50), limit=st.integers(0, 120))
def test_the_largest_that_fits_is_found(low: int, count: int, limit: int) -> None:
    found = largest(low, low + count, lambda value: value <= limit)
    assert found == max(low, min(low + count, limit))
