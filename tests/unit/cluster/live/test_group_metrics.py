"""Groups of ranks, from what their leaders report."""

from __future__ import annotations

from cluster.live.group_metrics import LiveGroups, live_groups
from cluster.live.replica_metrics import Sample


def sample(name: str, replica: str, value: float = 1, **labels: str) -> Sample:
    return Sample(f"ray_stowage_group_{name}", {"application": "m@1", "replica": replica, **labels}, value)


def test_the_nodes_of_each_group_that_runs_are_in_the_order_of_its_ranks() -> None:
    samples = [
        sample("ranks", "r1", rank="10", node="c"),
        sample("ranks", "r1", rank="2", node="b"),
        sample("ranks", "r0", rank="0", node="a"),
        sample("ranks", "gone", rank="0", node="a"),
    ]
    assert live_groups(samples, {"m@1": ["r0", "r1"]}) == {"m@1": LiveGroups((("a",), ("b", "c")))}


def test_failures_are_those_of_the_application_however_many_report_them() -> None:
    samples = [
        sample("failures", "r0", 2, kind="died"),
        sample("failures", "r1", 3, kind="died"),
        sample("failures", "r1", 0, kind="stalled"),
    ]
    assert live_groups(samples, {})["m@1"].failures == {"died": 3}


def test_a_group_that_starts_says_after_what() -> None:
    ended = sample("starting", "r0", 0, after="it died")
    assert live_groups([ended], {}) == {}
    first = sample("starting", "r0", after="")
    assert live_groups([first], {})["m@1"].after is None
    assert live_groups([first, sample("starting", "r1", after="it died")], {})["m@1"].after == "it died"
