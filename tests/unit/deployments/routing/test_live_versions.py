"""What is live, by id and by name."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.live_versions import LiveVersions, version_order
from models.types import VersionId
from tests.unit.deployments.live_models import state


def test_versions_are_found_by_id_and_by_name_with_the_newest_first() -> None:
    live = LiveVersions(state(version) for version in ("m@9", "a@1", "m@10", "m2@1", "m@2"))
    assert [each.id.version for each in live.named("m")] == ["10", "9", "2"]
    assert live.get(VersionId("m", "9")) == state("m@9")
    assert live.get(VersionId("m", "1")) is None
    assert live.named("x") == ()
    assert list(map(str, live.ids())) == ["a@1", "m@10", "m@2", "m@9", "m2@1"]


@pytest.mark.parametrize(
    ("status", "is_up"), [("ready", True), ("asleep", True), ("starting", False), ("failed", False)]
)
def test_a_version_that_sleeps_is_up(status: str, is_up: bool) -> None:
    live = LiveVersions([state("m@1", status)])
    assert (live.is_up(VersionId("m", "1")), live.is_up(VersionId("m", "2"))) == (is_up, False)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("2", "10"), ("v1.9", "v1.10"), ("1", "1.1"), ("2026-01-31", "2026-02-01"), ("v9", "v10"), ("a", "b")],
)
def test_numbers_in_versions_are_compared_by_value(older: str, newer: str) -> None:
    assert version_order(older) < version_order(newer)


@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=4),
    st.lists(st.integers(0, 10**6), min_size=2, max_size=4),
)
def test_dotted_versions_are_ordered_like_their_numbers(left: list[int], right: list[int]) -> None:
    orders = [version_order(".".join(map(str, numbers))) for numbers in (left, right)]
    assert (orders[0] < orders[1]) == (left < right)


@given(st.lists(st.text("09av.-_", min_size=1, max_size=6)))
def test_any_versions_can_be_put_in_order(versions: list[str]) -> None:
    """Numbers and letters stand at the same places here, and Python does not compare the two."""
    ordered = sorted(version_order(version) for version in versions)
    assert all(left <= right for left, right in pairwise(ordered))
