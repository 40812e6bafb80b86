"""The records of an application's groups, on a dictionary in the place of Ray's store."""

from __future__ import annotations

import time

import pytest
import torch

from deployments.group.record import FailureKind, GroupFailure, GroupRecords, kind_of
from models.errors import EngineError

APP = "smol@1"
pytestmark = pytest.mark.usefixtures("group_store")


def failure(cause: str, at_unix_s: float, kind: FailureKind = FailureKind.DIED) -> GroupFailure:
    return GroupFailure(kind, cause, at_unix_s)


def test_a_group_that_ends_in_order_leaves_nothing(group_store: dict[bytes, bytes]) -> None:
    records = GroupRecords(APP)
    records.open("a")
    records.close("a")

    assert not group_store
    assert records.last_failure() is None


def test_the_newest_failure_is_the_last_and_all_are_counted() -> None:
    records = GroupRecords(APP)
    for number, replica in enumerate("abc"):
        records.open(replica)
        kind = FailureKind.STALLED if replica == "c" else FailureKind.DIED
        records.fail(replica, failure(f"cause {replica}", number, kind))

    last = records.last_failure()
    assert last is not None
    assert last.cause == "cause c"
    assert records.counts() == {FailureKind.DIED: 2, FailureKind.STALLED: 1}


def test_the_first_word_about_a_group_is_kept() -> None:
    records = GroupRecords(APP)
    records.open("a")
    records.fail("a", failure("first", 1))
    records.fail("a", failure("second", 2))

    last = records.last_failure()
    assert last is not None
    assert last.cause == "first"


def test_what_was_overcome_is_counted_and_is_no_reason_any_more() -> None:
    records = GroupRecords(APP)
    records.open("a")
    records.fail("a", failure("first", 1))
    records.open("b")
    records.serve("b")
    assert records.last_failure() is None

    records.fail("b", failure("second", 2, FailureKind.OVER_BUDGET))

    last = records.last_failure()
    assert last is not None
    assert last.cause == "second"
    assert records.counts() == {FailureKind.DIED: 1, FailureKind.OVER_BUDGET: 1}


def test_groups_that_are_gone_without_a_word_count_as_failed() -> None:
    records = GroupRecords(APP)
    for replica in ("gone", "there"):
        records.open(replica)
        records.serve(replica)
    records.open("stopped before it served")

    records.settle(lambda replica: replica == "there")

    last = records.last_failure()
    assert last is not None
    assert "without a word" in last.cause
    assert records.counts() == {FailureKind.DIED: 1}


def test_a_group_that_was_asked_to_end_has_not_failed_when_it_is_killed(group_store: dict[bytes, bytes]) -> None:
    records = GroupRecords(APP)
    records.open("old")
    records.serve("old")
    records.leave("old")
    records.open("new")
    records.serve("new")

    records.settle(lambda replica: replica == "new")

    assert records.last_failure() is None
    assert not records.counts()
    assert len(group_store) == 1


def test_a_group_that_fails_while_it_is_to_end_has_failed() -> None:
    records = GroupRecords(APP)
    records.open("a")
    records.serve("a")
    records.leave("a")
    records.fail("a", failure("its rank 1 died", 1))

    records.settle(lambda _: False)

    assert records.counts() == {FailureKind.DIED: 1}


def test_one_that_is_gone_cannot_be_asked_to_end(group_store: dict[bytes, bytes]) -> None:
    GroupRecords(APP).leave("a")

    assert not group_store


def test_one_of_several_that_dies_without_a_word_counts_though_others_began_since() -> None:
    records = GroupRecords(APP)
    for replica in ("first", "second"):
        records.open(replica)
        records.serve(replica)

    records.settle(lambda replica: replica == "second")

    assert records.counts() == {FailureKind.DIED: 1}


def test_what_a_group_has_told_is_newer_than_the_silence_of_another() -> None:
    records = GroupRecords(APP)
    for replica in ("silent", "told"):
        records.open(replica)
        records.serve(replica)
    records.fail("told", failure("rank 1 holds up the group", time.time()))

    records.settle(lambda _: False)

    last = records.last_failure()
    assert last is not None
    assert last.cause == "rank 1 holds up the group"
    assert records.counts() == {FailureKind.DIED: 2}


def test_memory_that_torch_cannot_have_is_told_apart_also_by_its_text() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**16, dtype=torch.uint8)  # more than a process can address

    assert kind_of(raised.value) is FailureKind.OUT_OF_MEMORY
    assert kind_of(EngineError(f"the generation loop has ended: {raised.value}")) is FailureKind.OUT_OF_MEMORY
    assert kind_of(RuntimeError("Connection closed by peer")) is FailureKind.ERROR


def test_what_another_release_wrote_does_not_count(group_store: dict[bytes, bytes]) -> None:
    records = GroupRecords(APP)
    group_store[f"group/{APP}/old".encode()] = b'{"began": 1}'
    records.open("a")
    records.fail("a", failure("known", 1))

    last = records.last_failure()
    assert last is not None
    assert last.cause == "known"


def test_old_failures_are_forgotten(group_store: dict[bytes, bytes]) -> None:
    records = GroupRecords(APP)
    for number in range(60):
        records.open(str(number))
        records.fail(str(number), failure("again", number))

    records.settle(lambda _: True)

    assert len(group_store) == 50
    last = records.last_failure()
    assert last is not None
    assert last.at_unix_s == 59


def test_applications_do_not_share_records() -> None:
    GroupRecords(APP).open("a")
    GroupRecords(APP).fail("a", failure("theirs", 1))

    assert GroupRecords("smol@10").last_failure() is None
