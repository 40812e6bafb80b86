"""How many replicas a model gets: what its args say, unless its ``deployments:`` block overrides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.config.config_file import child
from deployments.args import ModelArgs

# What Ray takes for an autoscaling_config that does not say, and for one under ``num_replicas: auto``.
_MIN_REPLICAS = 1
_MAX_REPLICAS = 1
_AUTO_MAX_REPLICAS = 100


@dataclass(frozen=True, slots=True)
class ReplicaRange:
    """From how many replicas to how many."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def replica_range(args: ModelArgs, override: object) -> ReplicaRange:
    """The range that holds when ``override``, a valid item of ``deployments:`` or None, is laid over ``args``.

    As Ray does it (its ``override_deployment_info``): autoscaling, that of the args too, goes before a number.
    """
    own = ReplicaRange(args.min_replicas, args.max_replicas)
    number, scaling = child(override, "num_replicas"), child(override, "autoscaling_config")
    scales = own.low < own.high
    if isinstance(scaling, Mapping):
        return _range(scaling, _AUTO_MAX_REPLICAS if number == "auto" else _MAX_REPLICAS)
    if number == "auto" and not scales:
        return ReplicaRange(_MIN_REPLICAS, _AUTO_MAX_REPLICAS)
    if isinstance(number, int) and not scales:
        return ReplicaRange(number, number)
    return own


def _range(scaling: Mapping[object, object], max_replicas: int) -> ReplicaRange:
    low, high = scaling.get("min_replicas"), scaling.get("max_replicas")
    return ReplicaRange(
        low if isinstance(low, int) else _MIN_REPLICAS, high if isinstance(high, int) else max_replicas
    )
