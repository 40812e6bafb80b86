"""What one request takes of its limits, and what a token costs."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from enum import IntEnum
from functools import cached_property
from typing import Annotated, NamedTuple, Self

from pydantic import Field

from models.manifest import Frozen
from models.types import Usage

NANO = 10**9
"""Nano-units in one unit of money."""

_TOKENS_PER_PRICE = 10**6

Money = Annotated[Decimal, Field(ge=0, decimal_places=9)]
"""In the currency that the operator has chosen for the whole catalogue; stored as whole nano-units."""


def nano(money: Decimal) -> int:
    """Nano-units of money with no more than nine decimals."""
    return int(money.scaleb(9).to_integral_value(ROUND_CEILING))


def show_money(amount_nano: int) -> str:
    """Nano-units as whole units, for people."""
    return f"{Decimal(amount_nano) / NANO:f}"


class Price(Frozen):
    """What a model costs: per million tokens that go in and come out, and for each request."""

    input: Money = Decimal(0)
    output: Money = Decimal(0)
    request: Money = Decimal(0)

    def cost_nano(self, usage: Usage, num_requests: int = 1) -> int:
        """The cost in nano-units, rounded up. ``num_requests`` is 0 for one more answer within a request."""
        of_input, of_output, of_request = self._nano
        tokens = usage.prompt_tokens * of_input + usage.completion_tokens * of_output
        return -(-tokens // _TOKENS_PER_PRICE) + num_requests * of_request

    @cached_property
    def _nano(self) -> tuple[int, int, int]:
        return nano(self.input), nano(self.output), nano(self.request)


FREE = Price()


class Unit(IntEnum):
    """What a limit counts; its value is the place of the unit in Amounts."""

    REQUESTS = 0
    TOKENS = 1
    COST = 2
    SLOTS = 3


class Amounts(NamedTuple):
    """So much of each unit. A slot is taken while the request is under way, and comes back whole."""

    requests: int = 1
    tokens: int = 0
    cost_nano: int = 0
    slots: int = 1

    def with_usage(self, usage: Usage, price: Price) -> Self:
        """So many requests and slots, which together use this much."""
        return self._replace(tokens=usage.total_tokens, cost_nano=price.cost_nano(usage, self.requests))


NOTHING = Amounts(requests=0, slots=0)
"""For a request that was let in and is not to count at all."""
