"""What a decision remembers for the next one. As JSON, so that it can be kept anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from deployments.scaling.forecast import Past


@dataclass(frozen=True, slots=True)
class Memory:
    """``at``: the time of the last decision. ``wishes``: (time, replicas), the oldest first, each different from
    the one before. ``orders``: (time, replicas) that have been added and do not serve yet.

    Running means of requests, as ``Requests`` has them: ``bare_s``, ``tokens``, ``prompt_tokens``; and
    ``read_tokens_per_s``, the best seen, slowly forgotten. None: not known yet.
    """

    at: float | None = None
    wishes: tuple[tuple[float, int], ...] = ()
    orders: tuple[tuple[float, int], ...] = ()
    bare_s: float | None = None
    tokens: float | None = None
    prompt_tokens: float | None = None
    read_tokens_per_s: float | None = None
    past: Past | None = None

    def since_s(self, now: float) -> float | None:
        """The time since the last decision; None: this is the first."""
        return None if self.at is None else now - self.at

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Of what ``to_json`` gave, also by way of JSON's text; of an empty mapping, a new one."""
        past = kept.get("past")
        plain = {name: kept.get(name) for name in ("at", "bare_s", "tokens", "prompt_tokens", "read_tokens_per_s")}
        return cls(
            wishes=_pairs(kept.get("wishes", ())),
            orders=_pairs(kept.get("orders", ())),
            past=None if past is None else Past(**{**past, "forecasts": _pairs(past["forecasts"])}),
            **plain,
        )


def _pairs(kept: Iterable[Sequence[Any]]) -> tuple[tuple[float, Any], ...]:
    return tuple((at, value) for at, value in kept)
