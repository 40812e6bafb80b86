"""How far a starting cluster is: the router's ``/readyz`` when it answers, Ray's dashboard until then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from pydantic import BaseModel, ValidationError

from cluster.live.dashboard import Dashboard
from cluster.live.http_get import UnreachableError, get
from models.errors import StowageError


class Phase(StrEnum):
    UNSEEN = "unseen"
    WAITING = "waiting"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


# A model's states; all others mean that it is coming up.
_PHASES = {"ready": Phase.READY, "asleep": Phase.READY, "waiting": Phase.WAITING, "failed": Phase.FAILED}

# The id of these requests. Serve writes it into its access log, where it tells them from all others.
POLL_ID = "stowage-serve-poll"


@dataclass(frozen=True, slots=True)
class Observation:
    """Where one application is on its way up, and why it is not further."""

    phase: Phase
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.phase}: {self.reason}" if self.reason else str(self.phase)


class _Model(BaseModel):
    model: str
    version: str
    status: str
    reason: str | None = None


class _Readyz(BaseModel):
    models: list[_Model]


class ReadinessProbe:
    """Asks one cluster. ``router`` is the name of the router's application."""

    def __init__(self, readyz_url: str, router: str, timeout_s: float = 5.0) -> None:
        self._url = readyz_url
        self._router = router
        self._timeout_s = timeout_s

    def __call__(self, dashboard: Dashboard | None) -> dict[str, Observation]:
        """What is seen of each application that is known by now; nothing while nobody answers."""
        from_router = self._ask_router()
        if from_router:
            return {self._router: Observation(Phase.READY), **from_router}
        seen = self._ask_dashboard(dashboard) if dashboard else {}
        if from_router is not None:  # it answers, and shows no models to who has no key
            seen[self._router] = Observation(Phase.READY)
        return seen

    def _ask_router(self) -> dict[str, Observation] | None:
        try:
            reply = get(self._url, timeout_s=self._timeout_s, headers={"x-request-id": POLL_ID}, trusting=True)
            models = _Readyz.model_validate_json(reply.body).models
        except (UnreachableError, ValidationError):
            return None  # Serve's proxy answers before the router does, in its own words
        return {f"{model.model}@{model.version}": _observation(model.status, model.reason) for model in models}

    def _ask_dashboard(self, dashboard: Dashboard) -> dict[str, Observation]:
        try:
            applications = dashboard.applications()
        except StowageError:
            return {}  # the dashboard starts after Ray's other parts; ask again at the next poll
        seen = {app.name: _observation(app.state, app.reason) for app in applications}
        if seen.get(self._router) == Observation(Phase.READY):
            del seen[self._router]  # it has not answered, so no request can reach it yet
        return seen


def asks_for_keys(base_url: str, timeout_s: float = 5.0) -> bool:
    """Whether the router that answers there wants an API key. False where none answers."""
    try:
        reply = get(f"{base_url}/v1/models", timeout_s=timeout_s, headers={"x-request-id": POLL_ID}, trusting=True)
    except UnreachableError:
        return False
    return reply.status == HTTPStatus.UNAUTHORIZED


class StartupReport:
    """Turns successive observations into the lines worth printing: one for each change."""

    def __init__(self, expected: Sequence[str]) -> None:
        self._now = {name: Observation(Phase.UNSEEN) for name in expected}

    def update(self, seen: Mapping[str, Observation]) -> list[str]:
        """Lines for what changed; an application that is not seen keeps its last state."""
        changed = {name: seen[name] for name in self._now if name in seen and seen[name] != self._now[name]}
        self._now.update(changed)
        return [f"{name}: {observation}" for name, observation in changed.items()]

    def is_settled(self) -> bool:
        """Everything is ready, has failed, or waits for resources, which can last for ever."""
        return not {Phase.UNSEEN, Phase.LOADING} & {observation.phase for observation in self._now.values()}

    def named(self, phase: Phase) -> list[str]:
        return [name for name, observation in self._now.items() if observation.phase is phase]


def _observation(status: str, reason: str | None) -> Observation:
    return Observation(_PHASES.get(status, Phase.LOADING), reason)
