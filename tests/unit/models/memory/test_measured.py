from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.memory.measured import (
    TOLERANCE,
    BudgetState,
    Compared,
    Reading,
    at_fault,
    compare,
    compare_mapped,
    deviation,
    judge,
)
from tests.unit.plans import GPU, make_plan

TERMS = {"weights": 400, "kv_cache": 200, "activations": 100, "runtime": 300}


def states(budget_bytes: int, highs: list[int]) -> list[BudgetState]:
    state, seen = BudgetState(), []
    for high in highs:
        state = judge(state, high, budget_bytes)
        seen.append(state)
    return seen


def test_an_episode_begins_beyond_the_tolerance_and_ends_within_the_budget() -> None:
    found = states(1000, [900, 1020, 1021, 1010, 1001, 1000, 1015, 1100])
    assert [state.over for state in found] == [False, False, True, True, True, False, False, True]
    assert [state.num_episodes for state in found] == [0, 0, 1, 1, 1, 1, 1, 2]


def test_a_replica_that_never_fitted_is_told_from_one_that_grew() -> None:
    assert [state.has_fitted for state in states(1000, [1500, 1400])] == [False, False]
    assert [state.has_fitted for state in states(1000, [900, 1400])] == [True, True]


@given(st.lists(st.integers(0, 2000), min_size=1))
def test_within_the_tolerance_the_state_only_changes_towards_back(highs: list[int]) -> None:
    before = BudgetState()
    for high in highs:
        after = judge(before, high, 1000)
        assert after.over == (high > 1000 * (1 + TOLERANCE) or (before.over and high > 1000))
        assert after.num_episodes - before.num_episodes == int(after.over and not before.over)
        before = after


def test_deviation_is_relative_to_the_plan() -> None:
    assert (deviation(1000, 1050), deviation(1000, 900)) == (0.050000000000000044, -0.09999999999999998)


def test_weights_that_become_resident_late_are_loaded_and_not_work() -> None:
    ready = Reading(550, 550, {"weights": 50})
    now = Reading(980, 1000, {"weights": 390})
    assert compare(make_plan(TERMS).terms, ready, now) == (
        Compared("weights + kv_cache + runtime", 900, 550 + 340),
        Compared("activations", 100, 1000 - 890),
    )


def test_on_a_gpu_nothing_is_mapped() -> None:
    plan = make_plan(TERMS, device=GPU)
    assert compare(plan.terms, Reading(950, 950), Reading(1000, 1100)) == (
        Compared("weights + kv_cache + runtime", 900, 950),
        Compared("activations", 100, 150),
    )


def test_the_terms_that_were_exceeded_most_are_at_fault() -> None:
    over, under = Compared("runtime", 300, 420), Compared("kv_cache", 200, 100)
    assert at_fault((under, over)) is over
    assert over.excess_bytes == 120


def test_a_plan_without_work_has_work_measured_all_the_same() -> None:
    plan = make_plan({"weights": 10})
    assert compare(plan.terms, Reading(10, 10), Reading(10, 30))[1] == Compared("work", 0, 20)


def test_without_knowing_what_is_work_mapped_weights_are_told_from_the_rest() -> None:
    assert compare_mapped(make_plan(TERMS).terms, Reading(980, 1000, {"weights": 390})) == (
        Compared("weights", 400, 390),
        Compared("kv_cache + activations + runtime", 600, 610),
    )
