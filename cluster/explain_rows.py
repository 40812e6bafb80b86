"""How the account of a model's replicas looks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from deployments.scaling.account import Replicas, ScalingAccount
from deployments.scaling.decision import Decision
from deployments.scaling.history import Change
from deployments.scaling.load import Load, ReplicaLoad, RouterLoad
from deployments.scaling.outlook import Outlook
from deployments.scaling.settings import ScalingSettings

CHANGE_COLUMNS = ("time", "replicas", "bound by", "why")

_MINUTE_S = 60.0
_HOUR_S = 3600.0


def headline(replicas: Replicas) -> str:
    """How many there are."""
    of = f", each of {replicas.num_ranks} ranks" if replicas.num_ranks > 1 else ""
    ready = "" if replicas.ready == replicas.target else f", {replicas.ready} of them ready"
    if replicas.ready > replicas.target:
        ready = f", {replicas.ready - replicas.target} more that end"
    reason = f": {replicas.reason}" if replicas.reason else ""
    return f"{replicas.id} has {_replicas(replicas.target)}{of}{ready}; it is {replicas.status}{reason}"


def lines(account: ScalingAccount, now: float) -> Iterator[tuple[str, str]]:
    """What there is to say, by the name of what it is about; ``now`` in seconds since the epoch."""
    yield "why", account.why
    decision, settings = account.decision, account.settings
    if decision is not None and settings is not None:
        yield "bound by", str(decision.cause)
        yield "next", _next(account.next, decision)
        yield from _load(decision.load)
    if account.cold_start_s is not None:
        yield "cold start", _cold_start(account.cold_start_s, account.starts_s)
    if settings is not None:
        yield "bounds", _bounds(settings)
        yield from (("schedule", str(window)) for window in settings.schedule)
    if account.evaluated_at is not None:
        yield "looked at", f"{_seconds(now - account.evaluated_at)} ago"


def change_row(change: Change) -> tuple[str, ...]:
    """One row of CHANGE_COLUMNS."""
    at = datetime.fromtimestamp(change.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return (at, f"{change.before} -> {change.after}", change.cause, change.reason)


def _next(following: Outlook | None, decision: Decision) -> str:
    if following is None:
        return f"stays at {decision.target}, if the load stays"
    return f"goes to {following.target} in {_seconds(following.in_s)}, if the load stays: {following.reason}"


def _load(load: Load) -> Iterator[tuple[str, str]]:
    yield "routers", _routers(load.routers)
    yield from (("replica", _replica(replica)) for replica in load.replicas)
    if load.idle_s is not None and load.idle_s >= 1:
        yield "idle", f"for {_seconds(load.idle_s)}"


def _routers(routers: RouterLoad) -> str:
    if routers.age_s is None:
        return "have told nothing"
    waking = f", {routers.num_waking} of them for a start" if routers.num_waking else ""
    oldest = f", the oldest for {routers.oldest_wait_s:.1f} s" if routers.num_waiting else ""
    waiting = f"{routers.num_waiting} requests wait{waking}{oldest}"
    return f"{waiting}; {routers.num_under_way} under way; {routers.arrivals_per_s:.3g} a second come"


def _replica(replica: ReplicaLoad) -> str:
    kv = replica.tokens
    held = f"; {kv.held_tokens:,} of {kv.max_tokens:,} tokens in the KV cache" if kv and kv.max_tokens else ""
    busy = f"; busy {replica.batches.busy_share:.0%} of the time" if replica.batches else ""
    taken = f"{replica.num_running} of {replica.max_num_seqs} places taken, {replica.num_waiting} wait"
    return f"{replica.replica}: {taken}{held}{busy}"


def _cold_start(estimate_s: float, starts_s: tuple[float, ...]) -> str:
    if not starts_s:
        return f"about {_seconds(estimate_s)}, a guess: no start was seen yet"
    seen = ", ".join(f"{start_s:.0f}" for start_s in starts_s)
    return f"{_seconds(estimate_s)}, by the last starts: {seen} s"


def _bounds(settings: ScalingSettings) -> str:
    ends = f"; the last one ends when idle for {_seconds(settings.idle_s)}" if not settings.min_replicas else ""
    return f"{settings.min_replicas} to {settings.max_replicas} replicas{ends}"


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _seconds(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < 2 * _HOUR_S else f"{seconds / _HOUR_S:.1f} h"
