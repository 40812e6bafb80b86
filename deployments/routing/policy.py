"""What an operator may say of traffic: the Router's ``user_config``. What follows from it is in table.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from deployments.limits.amounts import FREE, Price
from deployments.limits.limit_set import LimitSet
from deployments.routing.breaker import BreakerSettings
from deployments.routing.failures import Failure
from deployments.routing.retry import Retries
from deployments.routing.stickiness import Sticky
from models.manifest import Frozen, Name, Version
from models.types import VersionId

PRESENT = "*"
"""Matches any value of a header that is there."""


def _check_full_version(text: str) -> str:
    return str(VersionId.parse(text))


FullVersion = Annotated[str, AfterValidator(_check_full_version)]
Target = Version | FullVersion
"""A version: ``name@version``, or of the model that has the route's own name only ``version``."""

ModelName = Name | FullVersion
"""What a caller may ask for: a route, an alias, a model, or ``name@version``."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
HeaderName = Annotated[str, StringConstraints(to_lower=True, min_length=1)]
TenantName = Annotated[str, StringConstraints(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class Split(Frozen):
    """Where requests go: to one version, or to several in proportion to their weights."""

    version: Version | None = None
    targets: dict[Target, Weight] | None = None

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        if self.version is not None and self.targets is not None:
            raise ValueError("version is short for one target: write version or targets, not both")
        if self.targets is not None and not any(self.targets.values()):
            raise ValueError(f"targets need a weight above 0, not {self.targets}")
        return self

    def weights(self, route: str) -> dict[VersionId, float]:
        """The weight of each version, empty when none is named."""
        if self.version is not None:
            return {VersionId(route, self.version): 1.0}
        return {target_id(target, route): weight for target, weight in (self.targets or {}).items()}


class Match(Split):
    """Requests whose headers have these exact values, or any where it says ``*``, go elsewhere."""

    headers: Annotated[dict[HeaderName, str], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_leads_somewhere(self) -> Self:
        if self.version is None and self.targets is None:
            raise ValueError("a match needs a version or targets")
        return self

    def accepts(self, attributes: Mapping[str, str]) -> bool:
        """``attributes`` have their names in lower case."""
        return all(
            name in attributes if wanted == PRESENT else attributes.get(name) == wanted
            for name, wanted in self.headers.items()
        )


class Shadow(Frozen):
    """A share of the requests is copied to ``target``, and the answers to the copies are dropped."""

    target: Target
    share: Share


class Hedge(Frozen):
    """A request without an answer after so long is sent a second time; the first answer counts."""

    after_ms: float = Field(gt=0, allow_inf_nan=False)


def _off_is_none(value: object) -> object:
    """YAML reads an unquoted ``off`` as false."""
    return None if value is False or value == "off" else value


class Route(Split):
    """Where a public name leads, and what happens when it leads to a failure.

    Without ``version`` and ``targets`` to the newest ready version of the model of that name. ``breaker`` None
    is written ``off``. ``deadline_s`` shortens what the caller allows.
    """

    sticky: Sticky | None = None
    match: tuple[Match, ...] = ()
    shadow: tuple[Shadow, ...] = ()
    fallbacks: dict[Failure, tuple[ModelName, ...]] = Field(default_factory=dict)
    retries: Retries = Retries()
    breaker: Annotated[BreakerSettings | None, BeforeValidator(_off_is_none)] = BreakerSettings()
    deadline_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hedge: Hedge | None = None
    log_text: bool = False

    def splits(self) -> tuple[Split, ...]:
        """Its own, then those of its matches."""
        return (self, *self.match)


class ModelTerms(Frozen):
    """What using a model costs, all of its versions alike, and how much of it there is for everybody together."""

    price: Price = FREE
    limits: LimitSet = LimitSet()


class TenantTerms(Frozen):
    """What a tenant may use. ``weight`` is its share of a saturated version, beside the other tenants'."""

    weight: float = Field(default=1, gt=0, allow_inf_nan=False)
    limits: LimitSet = LimitSet()


class RouterPolicy(Frozen):
    """The Router's ``user_config``, changed in place. A name without a route leads to its newest ready version.

    Whether the models exist is not asked: they may be deployed later.
    """

    routes: dict[Name, Route] = Field(default_factory=dict)
    aliases: dict[Name, ModelName] = Field(default_factory=dict)
    models: dict[Name, ModelTerms] = Field(default_factory=dict)
    tenants: dict[TenantName, TenantTerms] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_aliases(self) -> Self:
        for alias in self.aliases:
            if alias in self.routes:
                raise ValueError(f"alias {alias!r} hides the route of that name: remove one of them")
            self.unalias(alias)
        return self

    @model_validator(mode="after")
    def _check_routes(self) -> Self:
        for name, route in self.routes.items():
            for split in route.splits():
                _check_no_version_twice(name, split)
            for failure, fallbacks in route.fallbacks.items():
                self._check_fallbacks(name, failure, fallbacks)
        return self

    def unalias(self, model: str) -> str:
        """The name that ``model`` stands for; ValueError when aliases lead in a circle."""
        passed = [model]
        while (meant := self.aliases.get(passed[-1])) is not None:
            passed.append(meant)
            if meant in passed[:-1]:
                raise ValueError(f"aliases lead in a circle: {' -> '.join(passed)}")
        return passed[-1]

    def _check_fallbacks(self, name: str, failure: Failure, fallbacks: tuple[str, ...]) -> None:
        meant = [self.unalias(fallback) for fallback in fallbacks]
        if name in meant:
            raise ValueError(f"route {name!r} falls back to itself when {failure}")
        if twice := sorted({each for each in meant if meant.count(each) > 1}):
            raise ValueError(f"route {name!r} falls back to {twice[0]!r} twice when {failure}")


def target_id(target: str, route: str) -> VersionId:
    """The version that a target of ``route`` names."""
    return VersionId.parse(target) if "@" in target else VersionId(route, target)


def _check_no_version_twice(name: str, split: Split) -> None:
    if len(split.weights(name)) < len(split.targets or {}):
        raise ValueError(f"targets of route {name!r} name one version twice: {', '.join(split.targets or ())}")
