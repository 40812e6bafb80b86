"""The bookkeeping of a pool: never more than its budget, the least recently used first, nothing in use."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deployments.pool.ledger import ByteLedger
from models.types import VersionId

A, B, C, D = (VersionId(name, "1") for name in "abcd")
SIZES = {A: 10, B: 20, C: 30, D: 45}


def ledger(budget_bytes: int, *resident: VersionId, pinned: frozenset[VersionId] = frozenset()) -> ByteLedger:
    made = ByteLedger(budget_bytes, SIZES, pinned)
    for model in resident:
        assert made.admit(model) == ()
        made.settle(model, ())
        made.enter(model)
    return made


def test_what_fits_evicts_nothing() -> None:
    assert ledger(60, A, B).admit(C) == ()


def test_the_least_recently_used_goes_first_and_no_more_than_needed() -> None:
    full = ledger(60, A, B, C)
    full.claim(A)
    full.release(A)
    assert full.admit(D) == (B, C)
    assert full.resident == (A,)


def test_the_bytes_of_victims_stay_taken_until_they_are_closed() -> None:
    full = ledger(60, A, B, C)
    assert full.admit(D) == (A, B, C)
    assert full.taken_bytes == 60
    assert full.admit(A) is None
    assert list(full.held) == [A, B, C]
    full.settle(D, (A, B, C))
    assert full.taken_bytes == 45
    assert list(full.held) == [D]
    assert full.admit(A) == ()


def test_pins_can_be_set_and_taken_back_while_models_are_there() -> None:
    full = ledger(60, A, B, C)
    full.pin(frozenset({A, B}))
    assert full.idle == (C,)
    assert full.admit(D) is None
    full.pin(frozenset({A}))
    assert full.admit(D) == (B, C)


def test_neither_a_model_in_use_nor_a_pinned_one_makes_room() -> None:
    full = ledger(60, A, B, C, pinned=frozenset({A}))
    full.claim(C)
    assert full.missing_bytes(D) == 25
    assert full.admit(D) is None
    assert full.resident == (A, B, C)
    full.release(C)
    assert full.missing_bytes(D) == 0
    assert full.admit(D) == (B, C)


def test_a_failed_load_gives_its_bytes_back() -> None:
    made = ledger(60)
    made.admit(C)
    made.free(C)
    assert (made.taken_bytes, made.resident) == (0, ())


@pytest.mark.parametrize(("users", "evicted"), [(0, True), (1, False)])
def test_a_broken_model_leaves_once_it_is_idle(users: int, *, evicted: bool) -> None:
    made = ledger(60, A)
    for _ in range(users):
        made.claim(A)
    assert made.evict(A) is evicted
    assert made.taken_bytes == 10


class Pool(RuleBasedStateMachine):
    """Loads, uses and closes at random; what is being closed is settled some time later."""

    BUDGET_BYTES = 60
    PINNED = frozenset({A})

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ByteLedger(self.BUDGET_BYTES, SIZES, self.PINNED)
        self.loading: dict[VersionId, tuple[VersionId, ...]] = {}
        self.users: list[VersionId] = []

    @rule(model=st.sampled_from(sorted(SIZES)))
    def request(self, model: VersionId) -> None:
        self.ledger.claim(model)
        self.users.append(model)
        if model in self.ledger.resident or model in self.loading:
            return
        before = self.ledger.resident
        victims = self.ledger.admit(model)
        if victims is None:
            assert self.ledger.resident == before
            return
        assert not set(victims) & {*self.users, *self.PINNED}
        self.loading[model] = victims

    @precondition(lambda self: self.loading)
    @rule(works=st.booleans())
    def load_ends(self, *, works: bool) -> None:
        model, victims = self.loading.popitem()
        self.ledger.settle(model, victims)
        if works:
            self.ledger.enter(model)
        else:
            self.ledger.free(model)

    @precondition(lambda self: self.users)
    @rule(index=st.integers(0))
    def answer(self, index: int) -> None:
        self.ledger.release(self.users.pop(index % len(self.users)))

    @invariant()
    def the_budget_holds(self) -> None:
        assert 0 <= self.ledger.taken_bytes <= self.BUDGET_BYTES
        settled = not any(self.loading.values())
        held = (*self.ledger.resident, *self.loading)
        assert not settled or self.ledger.taken_bytes == sum(SIZES[model] for model in held)
        assert sum(SIZES[model] for model in self.ledger.held) <= self.BUDGET_BYTES
        assert set(self.ledger.resident) <= set(self.ledger.held)

    @invariant()
    def what_is_in_use_or_pinned_is_not_idle(self) -> None:
        assert set(self.ledger.idle) == set(self.ledger.resident) - {*self.users, *self.PINNED}


Pool.TestCase.settings = settings(deadline=None, max_examples=50)
TestPool = Pool.TestCase
