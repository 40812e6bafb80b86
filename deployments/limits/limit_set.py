"""What a key, a tenant or a model may use, as operators write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from deployments.limits.amounts import Money, Unit, nano, show_money
from deployments.limits.windows import Window
from models.manifest import Frozen

Count = Annotated[int, Field(gt=0)]
PositiveMoney = Annotated[Money, Field(gt=0)]


class LimitSet(Frozen):
    """Limits of one scope; None: without limit. Windows are calendar minutes, days and months in UTC."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_requests: Count | None = None
    tokens_per_day: Count | None = None
    tokens_per_month: Count | None = None
    cost_per_day: PositiveMoney | None = None
    cost_per_month: PositiveMoney | None = None

    def limits(self) -> Iterator[tuple[LimitName, int]]:
        """Each limit that is set: its name, and how much; money in nano-units."""
        for name in LimitName:
            value: int | Decimal | None = getattr(self, name)
            if value is not None:
                yield name, nano(value) if isinstance(value, Decimal) else value


class LimitName(StrEnum):
    """The fields of LimitSet."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    CONCURRENT_REQUESTS = "concurrent_requests"
    TOKENS_PER_DAY = "tokens_per_day"
    TOKENS_PER_MONTH = "tokens_per_month"
    COST_PER_DAY = "cost_per_day"
    COST_PER_MONTH = "cost_per_month"

    @property
    def unit(self) -> Unit:
        return _UNITS[self.partition("_")[0]]

    @property
    def window(self) -> Window:
        return Window.NOW if self is LimitName.CONCURRENT_REQUESTS else Window(self.rpartition("_")[2])

    def show(self, amount: int) -> str:
        """``amount`` of this limit for people: money in whole units."""
        return show_money(amount) if self.unit is Unit.COST else str(amount)


_UNITS = {"requests": Unit.REQUESTS, "tokens": Unit.TOKENS, "concurrent": Unit.SLOTS, "cost": Unit.COST}


class ScopeKind(StrEnum):
    """Whose limits these are."""

    KEY = "key"
    TENANT = "tenant"
    MODEL = "model"


class Scope(NamedTuple):
    """One key (its public prefix), tenant or model."""

    kind: ScopeKind
    name: str


@dataclass(frozen=True, slots=True)
class ScopedLimits:
    """A scope with the limits that hold for it. Keep the same object for as long as they do not change."""

    scope: Scope
    limits: LimitSet


class Counter(NamedTuple):
    """What is counted for one limit of one scope in one window. Everywhere else it goes by its text."""

    kind: ScopeKind
    scope: str
    limit: LimitName
    window_start: int

    @property
    def ends_at(self) -> float:
        return self.limit.window.bounds(self.window_start)[1]

    def __str__(self) -> str:
        return f"{self.kind}/{self.scope}/{self.limit}/{self.window_start}"
