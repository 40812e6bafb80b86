"""Why a version has as many replicas as it has: what an operator is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from deployments.scaling.decision import Decision
from deployments.scaling.history import Change, Latest
from deployments.scaling.outlook import Outlook, outlook
from deployments.scaling.settings import ScalingSettings

# The controller writes what it decides every few seconds, and once in 30 where nothing is new.
_SILENT_S = 60.0

Decider = Literal["stowage", "serve", "nobody"]


@dataclass(frozen=True, slots=True)
class Replicas:
    """What Serve tells of a version. ``low`` and ``high`` are None where its number is fixed; then ``policy`` is.

    ``num_ranks``: processes between which each replica is divided. ``pool``: whose replicas these are.
    """

    id: str
    status: str
    reason: str | None
    ready: int
    target: int
    low: int | None = None
    high: int | None = None
    policy: str | None = None
    is_ours: bool = False
    pool: str | None = None
    num_ranks: int = 1


@dataclass(frozen=True, slots=True)
class ScalingAccount:
    """``why`` answers in words. ``decides``: who sets the number; what follows is of what Stowage decides.

    ``evaluated_at`` in seconds since the epoch; ``next``: what comes next if the load stays, None: nothing within
    an hour. ``changes``: the oldest first.
    """

    replicas: Replicas
    decides: Decider
    why: str
    evaluated_at: float | None = None
    decision: Decision | None = None
    settings: ScalingSettings | None = None
    cold_start_s: float | None = None
    starts_s: tuple[float, ...] = ()
    next: Outlook | None = None
    failure: str | None = None
    changes: tuple[Change, ...] = ()


def give_account(
    replicas: Replicas, latest: Latest | None, changes: tuple[Change, ...], now: float
) -> ScalingAccount:
    """Of a version, by what is kept of the decisions about it; ``now`` in seconds since the epoch."""
    if not replicas.is_ours:
        decides: Decider = "nobody" if replicas.policy is None else "serve"
        return ScalingAccount(replicas, decides, _why_without_us(replicas))
    if latest is None:
        return ScalingAccount(replicas, "stowage", _unheard("has not told yet what it decides"), changes=changes)
    return ScalingAccount(
        replicas=replicas,
        decides="stowage",
        why=_why(latest, now),
        evaluated_at=latest.at,
        decision=latest.decision,
        settings=latest.settings,
        cold_start_s=latest.cold_start_s,
        starts_s=latest.kept.starts_s,
        next=_next(latest),
        failure=latest.failure,
        changes=changes,
    )


def _why(latest: Latest, now: float) -> str:
    if latest.failure is not None:
        return f"it keeps the replicas that it has, for they cannot be decided on: {latest.failure}"
    if now - latest.at > _SILENT_S:
        return _unheard(f"has told nothing for {now - latest.at:.0f} s")
    return latest.decision.reason if latest.decision else _unheard("has not decided anything yet")


def _next(latest: Latest) -> Outlook | None:
    decision = latest.decision
    if decision is None or latest.failure is not None:
        return None
    return outlook(replace(decision.load, target=decision.target), latest.settings, latest.kept.memory)


def _unheard(what: str) -> str:
    return (
        f"Serve's controller {what}: the replicas stay as they are while it starts, and where it cannot import "
        "deployments, which its log says"
    )


def _why_without_us(replicas: Replicas) -> str:
    if replicas.pool is not None:
        return f"it shares the replicas of {replicas.pool}, whose number is fixed"
    if replicas.policy is not None:
        return f"{replicas.policy} decides, as its deployments block says; Stowage does not know its reasons"
    return "their number is fixed: min_replicas and max_replicas are the same, or its deployments block says so"
