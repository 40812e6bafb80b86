"""What was decided, why, and of which inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from deployments.scaling.load import Load


class Cause(StrEnum):
    """What a decision was bound by."""

    LOAD = "load"  # as many as the load asks for
    MIN = "min_replicas"
    MAX = "max_replicas"
    SCHEDULE = "schedule"
    STABILISATION = "stabilisation"  # fewer would do, but not for long enough yet, or more, likewise
    STEP = "max_step"
    IDLE = "idle"  # scaled to zero
    NOT_IDLE = "not idle yet"  # the last replica stays until it has been idle for long enough
    UNKNOWN = "no reports"  # nothing is known of the load: everything stays as it is


@dataclass(frozen=True, slots=True)
class Need:
    """How many replicas one resource asks for: ``amount`` of it against ``per_replica``, in words as well.

    With more than ``keep``, which is ``replicas`` or a little more, there are too many.
    """

    resource: str
    amount: float
    per_replica: float
    replicas: int
    keep: int
    words: str


@dataclass(frozen=True, slots=True)
class Decision:
    """``target`` replicas; ``wish``: what the load alone asks for, before bounds and brakes.

    ``reason`` begins with the target: "3: 21 requests of 16 places each; held by ... for 40 s".
    """

    target: int
    wish: int
    cause: Cause
    reason: str
    needs: tuple[Need, ...]
    load: Load

    def to_json(self) -> dict[str, object]:
        """All of it as JSON has it, for records."""
        return asdict(self)
