"""What a decision remembers for the next one. As JSON, so that it can be kept anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Memory:
    """``wishes``: (time, replicas), the oldest first, those that can still be the highest or lowest of a window.

    ``service_s``: running mean of the time of a request. ``read_tokens_per_s``: the best seen, slowly forgotten.
    ``at``: the time of the last decision.
    """

    wishes: tuple[tuple[float, int], ...] = ()
    service_s: float | None = None
    read_tokens_per_s: float | None = None
    at: float | None = None

    def since_s(self, now: float) -> float | None:
        """The time since the last decision; None: this is the first."""
        return None if self.at is None else now - self.at

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Of what ``to_json`` gave, also by way of JSON's text; of an empty mapping, a new one."""
        wishes = tuple((float(at), int(wish)) for at, wish in kept.get("wishes", ()))
        return cls(wishes, *(kept.get(name) for name in ("service_s", "read_tokens_per_s", "at")))
