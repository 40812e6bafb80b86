"""What a replica tells of its load, in the numbers by name that Serve carries to its controller. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.scaling.load import BatchUse, ReplicaLoad, TokenUse

# None, where only numbers can be told.
_UNKNOWN = -1.0
_PREFIX = "stowage_"
_TOKENS = "tokens_"
_BATCHES = "batches_"


def dump_stats(load: ReplicaLoad) -> dict[str, float]:
    """All but the replica's name and the age."""
    told = {
        "num_running": load.num_running,
        "num_waiting": load.num_waiting,
        "max_num_seqs": load.max_num_seqs,
        "finished_per_s": load.finished_per_s,
        "service_s": load.service_s,
    }
    if load.tokens is not None:
        told |= {_TOKENS + name: getattr(load.tokens, name) for name in TokenUse.__slots__}
    if load.batches is not None:
        told |= {_BATCHES + name: getattr(load.batches, name) for name in BatchUse.__slots__}
    return {_PREFIX + name: _UNKNOWN if value is None else float(value) for name, value in told.items()}


def load_stats(replica: str, age_s: float, told: Mapping[str, float]) -> ReplicaLoad | None:
    """The inverse; None where nothing was told, or by another release."""
    values = {name.removeprefix(_PREFIX): value for name, value in told.items() if name.startswith(_PREFIX)}
    own = {name: value for name, value in values.items() if not name.startswith((_TOKENS, _BATCHES))}
    try:
        return ReplicaLoad(
            replica=replica,
            age_s=age_s,
            num_running=int(own["num_running"]),
            num_waiting=int(own["num_waiting"]),
            max_num_seqs=int(own["max_num_seqs"]),
            finished_per_s=own["finished_per_s"],
            service_s=_known(own["service_s"]),
            tokens=_tokens(values),
            batches=_batches(values),
        )
    except (KeyError, TypeError):
        return None


def _tokens(values: Mapping[str, float]) -> TokenUse | None:
    part = _part(values, _TOKENS)
    if not part:
        return None
    return TokenUse(
        held_tokens=int(part["held_tokens"]),
        max_tokens=int(part["max_tokens"]),
        waiting_tokens=int(part["waiting_tokens"]),
        prompt_tokens=_known(part["prompt_tokens"]),
        read_tokens_per_s=_known(part["read_tokens_per_s"]),
    )


def _batches(values: Mapping[str, float]) -> BatchUse | None:
    part = _part(values, _BATCHES)
    if not part:
        return None
    return BatchUse(
        busy_share=part["busy_share"],
        queue_s=_known(part["queue_s"]),
        batch_base_s=_known(part["batch_base_s"]),
        batch_item_s=_known(part["batch_item_s"]),
    )


def _part(values: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _known(value: float) -> float | None:
    return None if value < 0 else value


@dataclass(slots=True)
class _Heard:
    told_at: float
    heard_at: float


class Reports:
    """Ages of what replicas tell: by when it was heard, since the clocks of nodes differ."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def age_s(self, replica: str, told_at: float, now: float) -> float:
        """Seconds since the replica has told something new; ``told_at`` by its own clock."""
        heard = self._heard.get(replica)
        if heard is None or heard.told_at != told_at:
            heard = self._heard[replica] = _Heard(told_at, now)
        return now - heard.heard_at

    def keep(self, replicas: set[str]) -> None:
        """Forget all others."""
        for name in self._heard.keys() - replicas:
            del self._heard[name]
