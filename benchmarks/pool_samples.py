"""What the pool benchmark measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Answers:
    """How many requests were answered right, wrongly, and not at all."""

    right: int
    wrong: int
    lost: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Span:
    """A request from its beginning to its answer, in seconds of the machine's monotonic clock."""

    began_s: float
    ended_s: float

    def overlaps(self, other: Span) -> bool:
        return self.began_s < other.ended_s and other.began_s < self.ended_s


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of one warm model, in seconds, over ``num_requests``, during each of which a request of others was waiting.

    There were ``num_others`` of those; without any it is the model alone.
    """

    p50_s: float
    p99_s: float
    num_requests: int
    num_others: int

    @classmethod
    def of(cls, spans: Sequence[Span], others: Sequence[Span] = ()) -> Self:
        beside = [each for each in spans if not others or any(map(each.overlaps, others))]
        taken = [each.ended_s - each.began_s for each in beside]
        return cls(float(np.quantile(taken, 0.5)), float(np.quantile(taken, 0.99)), len(taken), len(others))


@dataclass(frozen=True, slots=True)
class Effort:
    """``num_requests`` by ``num_clients`` for answers; ``num_rounds`` of windows of ``window_s`` for latencies."""

    num_requests: int = 1000
    num_clients: int = 8
    num_rounds: int = 5
    window_s: float = 8.0


@dataclass(frozen=True, slots=True)
class SideAnswers:
    """What one side made of the same requests."""

    side: str
    answers: Answers


@dataclass(frozen=True, slots=True)
class Window:
    """One side in one round: the warm model alone, beside requests for other warm models, beside loads, and beside
    requests for cold models, which are loads and answers."""

    side: str
    idle: Latencies
    beside_warm: Latencies
    beside_loads: Latencies
    beside_cold: Latencies


@dataclass(frozen=True, slots=True)
class ReplicaSample:
    """One replica of the pool after all of it. ``measured_bytes`` as plans count: mapped weights whole."""

    totals: dict[str, int]
    num_resident: int
    budget_bytes: int
    planned_bytes: int
    measured_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured."""

    answers: list[SideAnswers]
    windows: list[Window]
    replicas: list[ReplicaSample]
