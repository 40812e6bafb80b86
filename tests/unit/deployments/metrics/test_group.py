"""What the leader of a group reports, from its start to its end."""

from __future__ import annotations

from deployments.group.record import FailureKind
from deployments.metrics.group import GroupMetrics, RankPlace
from deployments.metrics.replica import Replica
from models.parallel.layout import Degree, GroupLayout


def test_a_group_starts_for_a_reason_and_then_its_ranks_are_told(told: list[tuple[float, dict[str, str]]]) -> None:
    layout = GroupLayout(Degree(1, 2), (3, 6))
    metrics = GroupMetrics(Replica("m@1", "r0"))
    metrics.start("rank 1 on node b: it died", {FailureKind.DIED: 2})
    assert (1, {"after": "rank 1 on node b: it died"}) in told
    assert (2, {"kind": "died"}) in told
    assert (0, {"kind": "over_budget"}) in told
    told.clear()
    metrics.serve([RankPlace(layout.shard(0), "a"), RankPlace(layout.shard(1), "b")])
    metrics.close()
    metrics.close()
    assert told == [
        (0, {"after": "rank 1 on node b: it died"}),
        (1, {"rank": "0", "node": "a", "stage": "1", "slice": "0"}),
        (1, {"rank": "1", "node": "b", "stage": "0", "slice": "0"}),
    ]
