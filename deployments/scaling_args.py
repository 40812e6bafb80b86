"""What ``serve_config.yaml`` may say of how a model's replicas scale: ``scaling`` in its args."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from deployments.own_load import batch_places, kv_tokens
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.schedule import Window
from deployments.scaling.settings import Kind, ScalingSettings
from models.manifest import Frozen
from models.memory.plan import MemoryPlan
from models.spec import PAGED_ENGINES

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

# What a start is taken to last until one has been seen: a process, and weights from a disk.
_PROCESS_START_S = 10.0
_DISK_BYTES_PER_S = 500e6


class ScheduledReplicas(Frozen):
    """Each week on ``days``, from ``start`` to ``end`` by clocks of ``time_zone``: so many replicas or more."""

    replicas: int = Field(gt=0)
    start: str
    end: str
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    time_zone: str = "UTC"

    @field_validator("start", "end", mode="before")
    @classmethod
    def _check_is_text(cls, value: object) -> object:
        """YAML takes 18:30 for 1110."""
        if isinstance(value, int):
            hours, minutes = divmod(value, 60)
            raise ValueError(f"{value} is no time of day: write it in quotes, as '{hours % 24:02}:{minutes:02}'")  # noqa: TRY004  pydantic's
        return value

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        self.window()
        return self

    def window(self) -> Window:
        """ValueError for times, days and zones that are none."""
        return Window(self.replicas, self.start, self.end, self.days, self.time_zone)


class ScalingArgs(Frozen):
    """How many replicas there are between ``min_replicas`` and ``max_replicas``; as ScalingSettings has them."""

    queue_s: float = Field(default=2.0, gt=0)
    headroom: float = Field(default=2.0, ge=0)
    idle_s: float = Field(default=300.0, ge=0)
    up_window_s: float = Field(default=0.0, ge=0)
    down_window_s: float = Field(default=60.0, ge=0)
    max_step: int | None = Field(default=None, gt=0)
    schedule: tuple[ScheduledReplicas, ...] = ()

    def arguments(self, plan: MemoryPlan, low: int, high: int) -> PolicyArguments:
        """Of the policy, for ``low`` to ``high`` replicas as they are planned."""
        is_generation = plan.engine in PAGED_ENGINES
        settings = ScalingSettings(
            kind=Kind.GENERATION if is_generation else Kind.BATCH,
            min_replicas=low,
            max_replicas=high,
            max_num_seqs=plan.max_num_seqs if is_generation else batch_places(plan),
            max_tokens=kv_tokens(plan) if is_generation else None,
            schedule=tuple(each.window() for each in self.schedule),
            **self.model_dump(exclude={"schedule"}),
        )
        weight_bytes = sum(term.bytes for term in plan.terms if term.name == "weights")
        return PolicyArguments(settings, _PROCESS_START_S + weight_bytes / _DISK_BYTES_PER_S)
