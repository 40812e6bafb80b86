"""The verdict on reports, without any process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.errors import GroupError
from models.parallel.device_state import DeviceState
from models.parallel.pulse import Pulse
from models.parallel.report import Check, Finding, RankReport, judge
from models.parallel.stall import Stall

GIB = 2**30


def report(rank: int, node: str, budget_gib: float, *, device: str = "cpu", held_gib: float = 0) -> RankReport:
    state = DeviceState(device, device, free_bytes=10 * GIB, held_bytes=int(held_gib * GIB))
    return RankReport(rank, node, int(budget_gib * GIB), {"torch": "2.13.0"}, state, ())


def verdict(*reports: RankReport) -> str | None:
    try:
        judge({each.rank: each.node for each in reports}, reports, None)
    except GroupError as error:
        return error.message
    return None


def test_ranks_on_different_nodes_do_not_share_their_memory() -> None:
    assert verdict(report(0, "a", 10), report(1, "b", 10)) is None


def test_ranks_on_different_devices_of_a_node_do_not_share_them() -> None:
    assert verdict(report(0, "a", 10, device="GPU-1"), report(1, "a", 10, device="GPU-2")) is None


def test_ranks_that_share_a_device_must_fit_together() -> None:
    assert verdict(report(0, "a", 6), report(1, "b", 6), report(2, "a", 6)) == (
        "the group cannot start: rank 0, 2 on node a: memory: 12.00 GiB more of cpu are needed, and 10.00 GiB are "
        "free (stop what else uses the device, or use a higher degree)"
    )


def test_what_a_rank_holds_already_is_not_needed_again() -> None:
    assert verdict(report(0, "a", 11, held_gib=1)) is None
    message = verdict(report(0, "a", 11, held_gib=0.5))
    assert message is not None
    assert "rank 0 on node a: memory: 10.50 GiB more of cpu are needed, and 10.00 GiB are free" in message


def test_a_silent_leader_is_named_and_nobody_is_compared_with_it() -> None:
    with pytest.raises(GroupError) as caught:
        judge({0: "a", 1: "b"}, [report(1, "b", 1)], Stall((0,), 120, {0: Pulse(5, "has 8 of 20 B"), 1: None}))
    assert caught.value.message == (
        "the group cannot start: rank 0 on node a: answer: it did not report; in the group nothing has moved for "
        "120 s, and the rank has 8 of 20 B (see the log of its worker, and whether its node answers)"
    )


def test_a_silent_rank_does_not_hide_what_others_found() -> None:
    missing = Finding(Check.FILES, "model.safetensors is missing", "fetch it")
    reports = [report(0, "a", 1), replace(report(1, "b", 1), findings=(missing,))]
    pulses = {0: Pulse(9, "has 20 of 20 B"), 1: Pulse(9, "has 20 of 20 B"), 2: None}
    with pytest.raises(GroupError) as caught:
        judge({0: "a", 1: "b", 2: "c"}, reports, Stall((2,), 120, pulses))
    assert "rank 1 on node b: shard files: model.safetensors is missing (fetch it); rank 2" in caught.value.message
    assert "rank 2 on node c: answer: it did not report; in the group nothing has" in caught.value.message
    assert "rank 0 on" not in caught.value.message


def test_a_library_that_only_one_rank_has_is_a_difference() -> None:
    lacking = RankReport(1, "b", 0, {}, None, ())
    message = verdict(report(0, "a", 1), lacking)
    assert message is not None
    assert "rank 1 on node b: library versions: it has torch nothing, and rank 0 has 2.13.0" in message
