"""How far a starting cluster is: the router's ``/readyz`` when it answers, Ray's dashboard until then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ValidationError

from cluster.dashboard import Dashboard
from cluster.http_get import UnreachableError, get
from models.errors import StowageError


class Phase(StrEnum):
    WAITING = "waiting"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


# The words of the router and of Serve for what is not ready; all others mean that it is coming up.
_PHASES = {
    "waiting": Phase.WAITING,
    "failed": Phase.FAILED,
    "DEPLOY_FAILED": Phase.FAILED,
    "UNHEALTHY": Phase.FAILED,
}


@dataclass(frozen=True, slots=True)
class Observation:
    """Where one application is on its way up, and why it is not further."""

    phase: Phase
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.phase}: {summary(self.reason)}" if self.reason else str(self.phase)


class _Model(BaseModel):
    model: str
    version: str
    ready: bool
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
        if from_router is not None:
            return {self._router: Observation(Phase.READY), **from_router}
        return _ask_dashboard(dashboard) if dashboard else {}

    def _ask_router(self) -> dict[str, Observation] | None:
        try:
            reply = get(self._url, timeout_s=self._timeout_s)
            models = _Readyz.model_validate_json(reply.body).models
        except (UnreachableError, ValidationError):
            return None  # Serve's proxy answers before the router does, in its own words
        return {f"{m.model}@{m.version}": _observation(m.status, m.reason, ready=m.ready) for m in models}


class StartupReport:
    """Turns successive observations into the lines worth printing: one for each change."""

    def __init__(self, expected: Sequence[str]) -> None:
        self._now = {name: Observation(Phase.WAITING) for name in expected}

    def update(self, seen: Mapping[str, Observation]) -> list[str]:
        """Lines for what changed; an application that is not seen keeps its last state."""
        changed = {name: seen[name] for name in self._now if name in seen and seen[name] != self._now[name]}
        self._now.update(changed)
        return [f"{name}: {observation}" for name, observation in changed.items()]

    def is_settled(self) -> bool:
        """Everything is either ready or has failed."""
        return all(observation.phase in (Phase.READY, Phase.FAILED) for observation in self._now.values())

    def named(self, phase: Phase) -> list[str]:
        return [name for name, observation in self._now.items() if observation.phase is phase]


def summary(message: str | None) -> str:
    """The line of a Serve message that says what went wrong: the last, where a traceback ends."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _ask_dashboard(dashboard: Dashboard) -> dict[str, Observation]:
    try:
        applications = dashboard.applications()
    except StowageError:
        return {}  # the dashboard starts after Ray's other parts; ask again at the next poll
    return {app.name: _observation(app.state, app.reason, ready=app.state == "RUNNING") for app in applications}


def _observation(status: str, reason: str | None, *, ready: bool) -> Observation:
    if ready:
        return Observation(Phase.READY)
    return Observation(_PHASES.get(status, Phase.LOADING), reason)
