"""What is kept of the decisions about a version: as JSON, bounded, for another controller to go on with. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from deployments.scaling.decision import Decision
from deployments.scaling.memory import Memory
from deployments.scaling.settings import ScalingSettings

MAX_CHANGES = 50
_RELEASE = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What a controller has to know to go on where another has ended.

    ``expected``: the target that was decided on last. ``active_at``: when there was work last, in seconds since
    the epoch. ``starts_s``: how long the last replicas took to start. ``changes``: the oldest first.
    """

    memory: Memory = field(default_factory=Memory)
    expected: int | None = None
    active_at: float | None = None
    starts_s: tuple[float, ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def load(cls, latest: bytes | None, changes: bytes | None) -> Self:
        """Of what was dumped; nothing of what is missing, or another release's."""
        return cls(**_kept(_parsed(latest)), changes=tuple(_parsed(changes).get("changes", ())))


@dataclass(frozen=True, slots=True)
class Change:
    """Another number of replicas. ``inputs``: the load by which it was decided, all replicas in one."""

    at: float
    before: int
    after: int
    cause: str
    reason: str
    wish: int | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest evaluation, and what it goes by. ``failure``: why there was none since."""

    at: float
    settings: ScalingSettings
    cold_start_s: float
    kept: Kept
    decision: Decision | None = None
    failure: str | None = None


def dump_latest(latest: Latest) -> bytes:
    """All but the changes."""
    kept = latest.kept
    return _dumped(
        {
            "at": latest.at,
            "settings": asdict(latest.settings),
            "cold_start_s": latest.cold_start_s,
            "memory": kept.memory.to_json(),
            "expected": kept.expected,
            "active_at": kept.active_at,
            "starts_s": kept.starts_s,
            "decision": latest.decision.to_json() if latest.decision else None,
            "failure": latest.failure,
        }
    )


def dump_changes(kept: Kept) -> bytes:
    """The newest of them."""
    return _dumped({"changes": kept.changes[-MAX_CHANGES:]})


def change_of(decision: Decision, before: int) -> Change:
    """What the decision changes."""
    load = decision.load
    inputs = {
        "num_ready": load.num_ready,
        "cold_start_s": load.cold_start_s,
        "idle_s": load.idle_s,
        "num_running": sum(replica.num_running for replica in load.replicas),
        "num_waiting_in_replicas": sum(replica.num_waiting for replica in load.replicas),
        "held_tokens": sum(replica.tokens.held_tokens for replica in load.replicas if replica.tokens),
        "max_tokens": sum(replica.tokens.max_tokens for replica in load.replicas if replica.tokens),
        "routers": asdict(load.routers),
        "needs": [asdict(need) for need in decision.needs],
    }
    return Change(load.now, before, decision.target, str(decision.cause), decision.reason, decision.wish, inputs)


def _kept(latest: Mapping[str, Any]) -> dict[str, Any]:
    if not latest:
        return {}
    return {
        "memory": Memory.from_json(latest["memory"]),
        "expected": latest["expected"],
        "active_at": latest["active_at"],
        "starts_s": tuple(latest["starts_s"]),
    }


def _dumped(content: Mapping[str, Any]) -> bytes:
    return json.dumps({"release": _RELEASE, **content}, separators=(",", ":")).encode()


def _parsed(value: bytes | None) -> Mapping[str, Any]:
    """Empty for the words of another release."""
    parsed = json.loads(value) if value else {}
    return parsed if parsed.get("release") == _RELEASE else {}
