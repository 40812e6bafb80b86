"""What batches ask for."""

from __future__ import annotations

import pytest

from deployments.scaling.batch import batch_needs
from deployments.scaling.decision import Need
from deployments.scaling.load import BatchUse, Load, RouterLoad
from deployments.scaling.memory import Memory
from deployments.scaling.offered import offered
from deployments.scaling.settings import Kind
from tests.unit.deployments.scaling.loads import batching, load, settings


def need(seen: Load, queue_s: float = 0.2) -> Need:
    summed = offered(seen, 15.0)
    assert summed is not None
    (found,) = batch_needs(seen, summed, settings(Kind.BATCH, max_num_seqs=32, queue_s=queue_s), Memory())
    return found


def coming(per_s: float, num_waiting: int = 0) -> RouterLoad:
    return RouterLoad(age_s=1.0, arrivals_per_s=per_s, num_under_way=4, num_waiting=num_waiting)


def test_a_replica_takes_what_full_batches_give_where_waiting_is_no_matter() -> None:
    found = need(load(batching(), routers=coming(100.0)), queue_s=100.0)
    assert found.per_replica == pytest.approx(0.8 * 32 / 0.17)


def test_and_less_where_batches_have_to_be_small() -> None:
    # T = 0.01 / (1 - 0.005 x) is to be 0.02 s at most, so x at most 100.
    found = need(load(batching(), routers=coming(100.0)), queue_s=0.02)
    assert found.per_replica == pytest.approx(0.8 * 100)
    assert found.replicas == 2


def test_a_target_that_no_number_holds_leaves_the_throughput() -> None:
    found = need(load(batching(), routers=coming(100.0)), queue_s=0.005)
    assert found.per_replica == pytest.approx(0.8 * 32 / 0.17)


def test_what_has_piled_up_is_worked_off_within_the_target() -> None:
    calm, piled = (need(load(batching(), routers=coming(50.0, waiting)), 1.0) for waiting in (0, 10_000))
    assert calm.replicas == 1
    assert piled.amount == pytest.approx(50 + 10_000 - 32 + 20 * (50 - 32 / 0.17))


def test_what_is_in_the_next_batch_has_not_piled_up() -> None:
    assert need(load(batching(num_waiting=30), routers=coming(50.0)), 1.0).amount == 50


def test_before_batches_have_been_measured_the_time_counts_that_they_take() -> None:
    unknown = BatchUse(busy_share=0.9)
    found = need(load(batching(batches=unknown), batching("b", batches=unknown), routers=coming(100.0, 32)))
    assert found.resource == "busy"
    assert found.replicas == 4  # (2 x 0.9 + 32 / 32) / 0.8
