"""What the pool benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answers:
    """How many requests were answered right, wrongly, and not at all."""

    right: int
    wrong: int
    lost: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of one warm model, in seconds, over ``num_requests``. ``num_loads``: requests for cold models meanwhile."""

    p50_s: float
    p99_s: float
    num_requests: int
    num_loads: int


@dataclass(frozen=True, slots=True)
class Effort:
    """``num_requests`` by ``num_clients`` for answers; ``num_rounds`` of windows of ``window_s`` for latencies."""

    num_requests: int = 1000
    num_clients: int = 8
    num_rounds: int = 5
    window_s: float = 6.0


@dataclass(frozen=True, slots=True)
class SideAnswers:
    """What one side made of the same requests."""

    side: str
    answers: Answers


@dataclass(frozen=True, slots=True)
class Window:
    """One side in one round: the warm model while nothing is loaded, while random models are, while any are."""

    side: str
    idle: Latencies
    beside_random: Latencies
    beside_any: Latencies


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
