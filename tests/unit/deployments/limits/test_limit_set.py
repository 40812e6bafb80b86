from __future__ import annotations

import pytest
from pydantic import ValidationError

from deployments.limits.amounts import Unit
from deployments.limits.limit_set import Counter, LimitName, LimitSet, ScopeKind
from deployments.limits.windows import Window


def test_every_field_is_a_limit() -> None:
    assert set(LimitName) == set(LimitSet.model_fields)


@pytest.mark.parametrize(
    ("name", "unit", "window"),
    [
        (LimitName.REQUESTS_PER_MINUTE, Unit.REQUESTS, Window.MINUTE),
        (LimitName.TOKENS_PER_MONTH, Unit.TOKENS, Window.MONTH),
        (LimitName.COST_PER_DAY, Unit.COST, Window.DAY),
        (LimitName.CONCURRENT_REQUESTS, Unit.SLOTS, Window.NOW),
    ],
)
def test_a_name_says_what_is_counted_and_for_how_long(name: LimitName, unit: Unit, window: Window) -> None:
    assert (name.unit, name.window) == (unit, window)


def test_only_limits_that_are_set_hold_and_money_is_whole() -> None:
    limits = LimitSet.model_validate({"tokens_per_minute": 1000, "cost_per_day": "2.5"})
    assert list(limits.limits()) == [(LimitName.TOKENS_PER_MINUTE, 1000), (LimitName.COST_PER_DAY, 2_500_000_000)]


@pytest.mark.parametrize(("amount", "shown"), [(2_500_000_000, "2.5"), (10_000_000_000, "10"), (1, "0.000000001")])
def test_money_is_shown_in_whole_units(amount: int, shown: str) -> None:
    assert LimitName.COST_PER_DAY.show(amount) == shown
    assert LimitName.TOKENS_PER_DAY.show(amount) == str(amount)


@pytest.mark.parametrize("wrong", [{"tokens_per_minute": 0}, {"cost_per_day": 0}, {"tokens_per_year": 1}])
def test_what_is_no_limit_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LimitSet.model_validate(wrong)


def test_a_counter_goes_by_a_text_of_its_own() -> None:
    counter = Counter(ScopeKind.TENANT, "a/b", LimitName.TOKENS_PER_MINUTE, 1_800_000_000)
    assert str(counter) == "tenant/a/b/tokens_per_minute/1800000000"
    assert counter.ends_at == 1_800_000_060
