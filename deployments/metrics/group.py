"""A group of ranks as Ray metrics, told by its leader; Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from deployments.group.record import FailureKind
from deployments.metrics.lasting_gauge import LastingGauge, Series
from deployments.metrics.replica import Replica
from deployments.metrics.replica_rows import GROUP_FAILURES, GROUP_RANKS, GROUP_STARTING
from models.parallel.layout import Shard


@dataclass(frozen=True, slots=True)
class RankPlace:
    """What one rank of a group holds, and the name of its node."""

    shard: Shard
    node: str

    @property
    def labels(self) -> dict[str, str]:
        """Stages and slices are counted from 0."""
        shard = self.shard
        return {
            "rank": str(shard.rank),
            "node": self.node,
            "stage": str(shard.stage),
            "slice": str(shard.tensor_index),
        }


class GroupMetrics:
    """Of one group, from the first phase of its start to its end."""

    def __init__(self, replica: Replica) -> None:
        tags = asdict(replica)
        self._starting = LastingGauge(GROUP_STARTING, tags)
        self._ranks = LastingGauge(GROUP_RANKS, tags)
        self._failures = LastingGauge(GROUP_FAILURES, tags)
        self._after: dict[str, str] | None = None

    def start(self, after: str | None, failures: Mapping[FailureKind, int]) -> None:
        """The group starts, because another one has failed of ``after`` if that is given."""
        self._after = {"after": after or ""}
        self._starting.set(1, self._after)
        self.count(failures)

    def count(self, failures: Mapping[FailureKind, int]) -> None:
        """So many have failed by now."""
        self._failures.set_all([Series(failures.get(kind, 0), {"kind": kind.value}) for kind in FailureKind])

    def serve(self, ranks: Sequence[RankPlace]) -> None:
        """The group serves."""
        self._end_start()
        self._ranks.set_all([Series(1, rank.labels) for rank in ranks])

    def close(self) -> None:
        """Nothing more is said, for good; idempotent."""
        self._end_start()
        for gauge in (self._starting, self._ranks, self._failures):
            gauge.close()

    def _end_start(self) -> None:
        if self._after is not None:
            self._starting.set(0, self._after)
            self._after = None
