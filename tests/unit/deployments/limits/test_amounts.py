from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.limits.amounts import FREE, Amounts, Price, nano
from models.types import Usage

PRICE = Price(input=Decimal("0.15"), output=Decimal("0.60"), request=Decimal("0.001"))
PRICES = st.decimals(0, 1000, places=9)


def test_a_cost_is_that_of_all_its_parts() -> None:
    cost = PRICE.cost_nano(Usage(prompt_tokens=1_000_000, completion_tokens=500_000))
    assert cost == nano(Decimal("0.15") + Decimal("0.30") + Decimal("0.001"))


def test_what_costs_less_than_a_nano_unit_costs_one() -> None:
    assert Price(input=Decimal("0.000000001")).cost_nano(Usage(1)) == 1
    assert FREE.cost_nano(Usage(10**9, 10**9)) == 0


@given(price=PRICES, tokens=st.integers(0, 10**9))
def test_a_cost_is_rounded_up_by_less_than_a_nano_unit(price: Decimal, tokens: int) -> None:
    exact = price * 10**9 * tokens / 10**6
    assert exact <= Price(input=price).cost_nano(Usage(tokens)) < exact + 1


def test_a_price_in_a_file_means_what_is_written() -> None:
    assert Price.model_validate({"input": 0.1}) == Price(input=Decimal("0.1"))


@pytest.mark.parametrize("value", [-1, "0.0000000001", "NaN"])
def test_a_price_that_cannot_be_kept_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate({"input": value})


def test_a_request_takes_one_slot_and_all_its_tokens() -> None:
    used = Amounts().with_usage(Usage(100, 20), PRICE)
    assert used == Amounts(requests=1, tokens=120, cost_nano=PRICE.cost_nano(Usage(100, 20)), slots=1)


def test_what_is_no_request_of_its_own_pays_for_its_tokens_alone() -> None:
    price = PRICE.model_copy(update={"request": Decimal("0.001")})
    used = Amounts(requests=0).with_usage(Usage(100, 20), price)
    assert (used.tokens, used.cost_nano) == (120, price.cost_nano(Usage(100, 20)) - 1_000_000)
