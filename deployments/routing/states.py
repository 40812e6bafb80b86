"""What is live: Serve's account of its applications, turned into the state of each model version. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from models.memory.plan import format_bytes
from models.types import ModelCard, VersionId

# A replica that has no node after this long waits for resources if what is free does not suffice; after the
# longer time it does so in any case: what is free may lie on several nodes.
PLACEMENT_GRACE_S = 3.0
LONG_PLACEMENT_S = 30.0

_OWN_ERROR = re.compile(r"^models\.errors\.\w+: ")


@dataclass(frozen=True, slots=True)
class ModelState:
    """One deployed version as Serve sees it. ``reason`` says why it is not ready.

    ``status`` is ready, asleep (no replica, a request starts one), starting, waiting (for resources),
    failed or stopping. ``card`` is absent until the application has been built. ``pool`` is the application that
    hosts it together with others; None: it has one of its own, which has its name.
    """

    id: VersionId
    ready: bool
    status: str
    reason: str | None = None
    card: ModelCard | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica: its Serve state, whether it has been placed on a node, when it was started, and its id."""

    state: str
    placed: bool
    started_unix_s: float
    id: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """What is needed of one Serve application. Resources are Ray's: CPU, GPU, memory in bytes.

    ``pooled`` are the versions that a pool hosts, with their cards once it has been built.
    """

    name: str
    status: str
    message: str
    target_num_replicas: int = 0
    replicas: tuple[ReplicaView, ...] = ()
    required_resources: Mapping[str, float] = field(default_factory=dict)
    card: ModelCard | None = None
    pooled: Mapping[VersionId, ModelCard | None] = field(default_factory=dict)


def read_states(
    applications: Sequence[ApplicationView], available: Mapping[str, float] | None, now_unix_s: float
) -> tuple[ModelState, ...]:
    """The state of every model version, in an application of its own or in a pool, sorted by id.

    ``available`` is what the cluster has free, None when that is not known.
    """
    states = [state for view in applications for state in _states(view, available, now_unix_s)]
    return tuple(sorted(states, key=lambda state: state.id))


def _version(application: str) -> VersionId | None:
    """None for the router, and for applications that are not ours."""
    try:
        return VersionId.parse(application)
    except ValueError:
        return None


def read_status(
    view: ApplicationView, available: Mapping[str, float] | None, now_unix_s: float
) -> tuple[str, str | None]:
    """The status of any application, in the words of ``ModelState``, and why it is not ready."""
    if view.status == "DELETING":
        return "stopping", "it is being removed"
    if any(replica.state == "RUNNING" for replica in view.replicas):
        return "ready", None
    if view.status == "DEPLOY_FAILED":
        return "failed", _last_line(view.message) or "Serve gives no reason"
    if view.status == "RUNNING" and view.target_num_replicas == 0:
        return "asleep", None
    grace_s = PLACEMENT_GRACE_S if _lacks(view.required_resources, available) else LONG_PLACEMENT_S
    if any(_unplaced_for(replica, now_unix_s) > grace_s for replica in view.replicas):
        return "waiting", _missing_resources(view.required_resources, available)
    return "starting", _last_line(view.message) or "its replica is loading"


def _states(
    view: ApplicationView, available: Mapping[str, float] | None, now_unix_s: float
) -> Iterator[ModelState]:
    status, reason = read_status(view, available, now_unix_s)
    ready = status in ("ready", "asleep")
    version = _version(view.name)
    if version is not None:
        yield ModelState(version, ready, status, reason, view.card)
    for pooled, card in view.pooled.items():
        yield ModelState(pooled, ready, status, reason, card, pool=view.name)


def _unplaced_for(replica: ReplicaView, now_unix_s: float) -> float:
    """Seconds for which a starting replica has had no node."""
    return now_unix_s - replica.started_unix_s if replica.state == "STARTING" and not replica.placed else 0.0


def _lacks(required: Mapping[str, float], available: Mapping[str, float] | None) -> bool:
    return available is not None and any(amount > available.get(name, 0.0) for name, amount in required.items())


def _missing_resources(required: Mapping[str, float], available: Mapping[str, float] | None) -> str:
    names = sorted(name for name, value in required.items() if value)
    needs = ", ".join(_amount(name, required[name]) for name in names)
    if available is None:
        return f"it cannot be scheduled: it needs {needs}"
    free = ", ".join(_amount(name, available.get(name, 0.0)) for name in names)
    return f"it cannot be scheduled: it needs {needs}; the cluster has {free} free"


def _amount(resource: str, value: float) -> str:
    return f"memory {format_bytes(int(value))}" if resource == "memory" else f"{resource} {value:g}"


def _last_line(message: str) -> str | None:
    """Serve's messages end with the error that caused them, after its traceback; our own need no class name."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _OWN_ERROR.sub("", lines[-1]) if lines else None
