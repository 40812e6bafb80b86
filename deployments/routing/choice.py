"""Which version answers a request. Pure: the policy and what is live come in, a version goes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from deployments.identity.caller import ANONYMOUS, Caller
from deployments.routing.breaker import BreakerSettings
from deployments.routing.breakers import held_back
from deployments.routing.live_versions import LiveVersions
from deployments.routing.states import ModelState
from deployments.routing.stickiness import pick
from deployments.routing.table import Destination, Weights
from models.errors import ModelNotFoundError, ModelUnavailableError, PermissionDeniedError, StowageError
from models.types import VersionId

_STARTING_RETRY_S = 5.0
_FAILED_RETRY_S = 30.0

# In the order in which a request prefers them; who has none of the first waits for one of the second.
_ANSWERS = ("ready", "asleep")
_BECOMES_READY = ("starting",)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a caller may use. ``names`` are the one in the request and those that it stands for."""

    caller: Caller
    names: tuple[str, ...] = ()

    def cover(self, version: VersionId) -> bool:
        return self.caller.models is None or self.caller.may_use((*self.names, version.name, str(version)))

    def check(self, version: VersionId) -> None:
        """PermissionDeniedError when the caller may use the version under none of its names."""
        if not self.cover(version):
            raise self.denial()

    def denial(self) -> PermissionDeniedError:
        return PermissionDeniedError(f"this API key is not for model {self.names[0]!r}", remedy="see /v1/models")


EVERYTHING = Rights(ANONYMOUS)


class Chooser:
    """Chooses a version for each request.

    ``blocked_s`` says for how many seconds a version's breaker admits no call, 0 when it does.
    """

    def __init__(self, rng: Random, blocked_s: Callable[[VersionId, BreakerSettings | None], float]) -> None:
        self._rng = rng
        self._blocked_s = blocked_s

    def choose(
        self,
        destination: Destination,
        live: LiveVersions,
        attributes: Mapping[str, str],
        sticky: str | None = None,
        rollout: Weights | None = None,
        rights: Rights = EVERYTHING,
    ) -> ModelState:
        """The version to send a request to: one that answers (it may sleep), or else one that is starting.

        ``attributes`` are the request's headers, names in lower case. ``sticky``: requests with the same value
        go to the same version, None draws. ``rollout`` takes the place of the route's own weights. Versions that
        cannot take a request are passed over, and the others get their share in proportion.
        ModelNotFoundError when none is deployed; ModelUnavailableError when none can answer, with the reasons;
        PermissionDeniedError in the place of either when ``rights`` cover none of them.
        """
        weights = destination.weights_for(attributes, rollout)
        able = self._able(_deployed(destination, weights, live), destination.route.breaker)
        if not able:
            raise self._refusal(destination, weights, live, rights)
        if len(able) == 1 or not weights:
            return able[0]
        if sticky is None:
            return self._rng.choices(able, [weights[state.id] for state in able])[0]
        by_id = {state.id: state for state in able}
        return by_id[pick(sticky, destination.name, {version: weights[version] for version in by_id})]

    def shadows(self, destination: Destination, live: LiveVersions, chosen: VersionId) -> list[ModelState]:
        """The versions that get a copy of a request that goes to ``chosen``. None is waited for or woken."""
        return [
            state
            for version, share in destination.shadows.items()
            if version != chosen
            and self._rng.random() < share
            and (state := live.get(version)) is not None
            and state.status == "ready"
        ]

    def _able(self, states: Sequence[ModelState], breaker: BreakerSettings | None) -> list[ModelState]:
        answers = [
            state for state in states if state.status in _ANSWERS and self._blocked_s(state.id, breaker) <= 0
        ]
        return answers or [state for state in states if state.status in _BECOMES_READY]

    def _refusal(
        self, destination: Destination, weights: Weights, live: LiveVersions, rights: Rights
    ) -> StowageError:
        """Why no version can answer, of those that the caller may use."""
        states = [state for state in _deployed(destination, weights, live) if rights.cover(state.id)]
        if not states:
            return _absent(destination, weights, live, rights)
        errors = [self._why_not(state, destination.route.breaker) for state in states]
        if len(errors) == 1:
            return errors[0]
        return ModelUnavailableError(
            f"no version of {destination.name!r} can answer: " + "; ".join(error.message for error in errors),
            retry_after_s=min(error.retry_after_s for error in errors),
        )

    def _why_not(self, state: ModelState, breaker: BreakerSettings | None) -> ModelUnavailableError:
        if state.status in _ANSWERS:
            return held_back(state.id, self._blocked_s(state.id, breaker))
        return unavailable(state)


def look_up(
    destination: Destination, live: LiveVersions, rollout: Weights | None = None, rights: Rights = EVERYTHING
) -> ModelState:
    """The version that speaks for a name when there is no request to send: of those that answer, the one with
    the greatest weight, or the newest. ``rollout`` and ``rights`` as in Chooser. ModelNotFoundError when none is
    deployed, PermissionDeniedError.
    """
    weights = destination.weights_for({}, rollout)
    states = _deployed(destination, weights, live)
    if not states:
        raise _absent(destination, weights, live, rights)
    return max(states, key=lambda state: (state.status in _ANSWERS, weights.get(state.id, 0.0)))


def unavailable(state: ModelState, retry_after_s: float | None = None) -> ModelUnavailableError:
    """Why a version cannot be asked, and when to try again: of itself what suits its status."""
    verb, typical_s = ("has", _FAILED_RETRY_S) if state.status == "failed" else ("is", _STARTING_RETRY_S)
    return ModelUnavailableError(
        f"model {state.id} {verb} {state.status}: {state.reason or 'its replica is not up'}",
        retry_after_s=typical_s if retry_after_s is None else retry_after_s,
    )


def not_deployed(name: str, weights: Weights, live: LiveVersions, caller: Caller) -> ModelNotFoundError:
    """The error of a name that leads to nothing that is there. The caller hears of what it may use."""
    wanted = ", ".join(map(str, weights))
    leads = f", which leads to {wanted}," if wanted not in ("", name) else ""
    there = ", ".join(map(str, filter(Rights(caller).cover, live.ids()))) or "none"
    return ModelNotFoundError(f"model {name!r}{leads} is not deployed", remedy=f"deployed models: {there}")


def _absent(destination: Destination, weights: Weights, live: LiveVersions, rights: Rights) -> StowageError:
    """The error of a name that leads to nothing that is there and that the caller may use."""
    led_to = [*weights, *(state.id for state in _deployed(destination, weights, live))]
    if led_to and not any(map(rights.cover, led_to)):
        return rights.denial()
    return not_deployed(destination.name, weights, live, rights.caller)


def _deployed(destination: Destination, weights: Weights, live: LiveVersions) -> Sequence[ModelState]:
    """Those of ``weights``; without any, every version of the name, the newest first."""
    if not weights:
        return live.named(destination.name)
    return [state for version in weights if (state := live.get(version)) is not None]
