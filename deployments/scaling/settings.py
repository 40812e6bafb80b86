"""How a version scales."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deployments.scaling.schedule import Window


class Kind(StrEnum):
    """What fills a replica: tokens and sequences, or time."""

    GENERATION = "generation"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class ScalingSettings:
    """Bounds, aims and brakes; ValueError for what makes no sense.

    ``max_num_seqs``: how many requests one replica's engine runs at once (of batches: has in its largest one), and
    ``max_tokens`` what its KV cache holds (None: it has none), by its plan; what a replica reports goes before.
    ``queue_s``: how long a request may wait; what has piled up is worked off in so many seconds once new replicas
    take part. ``headroom``: spare places above the mean load, in standard deviations of it. ``idle_s``: after so
    long without a request the last replica ends, if ``min_replicas`` is 0. ``up_window_s``: a higher wish has to
    last so long; ``down_window_s``: and a lower one. ``max_step``: the most replicas that one decision adds.
    ``max_age_s``: older reports do not count. ``schedule``: when there are at least so many, asked for or not.
    """

    kind: Kind
    min_replicas: int
    max_replicas: int
    max_num_seqs: int
    max_tokens: int | None = None
    queue_s: float = 2.0
    headroom: float = 2.0
    idle_s: float = 300.0
    up_window_s: float = 0.0
    down_window_s: float = 60.0
    max_step: int | None = None
    max_age_s: float = 15.0
    schedule: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise ValueError(
                f"min_replicas {self.min_replicas} and max_replicas {self.max_replicas} are no bounds"
            )
        for name in ("max_num_seqs", "max_tokens", "queue_s", "max_age_s", "max_step"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} {value:g} is not above 0")
        for name in ("headroom", "idle_s", "up_window_s", "down_window_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name):g} is below 0")
