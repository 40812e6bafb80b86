"""Which of several versions one caller always gets."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deployments.routing.stickiness import Sticky, pick, sticky_value
from models.types import VersionId

VERSIONS = [VersionId("m", str(number)) for number in range(5)]
WEIGHTS = st.lists(st.floats(0.01, 100), min_size=2, max_size=5).map(
    lambda weights: dict(zip(VERSIONS, weights, strict=False))
)
CALLERS = [f"caller-{number}" for number in range(300)]


def assigned(weights: dict[VersionId, float], route: str = "r") -> dict[str, VersionId]:
    return {caller: pick(caller, route, weights) for caller in CALLERS}


@given(WEIGHTS, st.floats(0.01, 100))
def test_a_changed_weight_moves_callers_only_to_or_from_its_version(
    weights: dict[VersionId, float], changed: float
) -> None:
    before, after = assigned(weights), assigned({**weights, VERSIONS[0]: changed})
    for caller in CALLERS:
        if before[caller] != after[caller]:
            gained = after[caller] if changed > weights[VERSIONS[0]] else before[caller]
            assert gained == VERSIONS[0]


@given(WEIGHTS)
def test_a_version_that_goes_moves_only_its_own_callers(weights: dict[VersionId, float]) -> None:
    before = assigned(weights)
    del weights[VERSIONS[0]]
    after = assigned(weights)
    assert all(before[caller] in (after[caller], VERSIONS[0]) for caller in CALLERS)


@given(WEIGHTS, st.floats(0.1, 1000))
def test_only_proportions_count(weights: dict[VersionId, float], factor: float) -> None:
    scaled = {version: weight * factor for version, weight in weights.items()}
    assert assigned(scaled) == assigned(weights)


@pytest.mark.parametrize("weights", [(95, 5), (1, 1), (1, 2, 7)])
def test_versions_win_in_proportion_to_their_weights(weights: tuple[int, ...]) -> None:
    by_version = dict(zip(VERSIONS, weights, strict=False))
    num_callers, total = 20_000, sum(weights)
    wins = [pick(str(caller), "r", by_version) for caller in range(num_callers)]
    for version, weight in by_version.items():
        share = weight / total
        assert abs(wins.count(version) / num_callers - share) < 5 * sqrt(share * (1 - share) / num_callers)


def test_a_step_of_a_rollout_moves_only_the_share_that_must_move() -> None:
    before = [pick(str(n), "r", {VERSIONS[0]: 95, VERSIONS[1]: 5}) for n in range(10_000)]
    after = [pick(str(n), "r", {VERSIONS[0]: 75, VERSIONS[1]: 25}) for n in range(10_000)]
    moved = sum(left != right for left, right in zip(before, after, strict=True))
    assert 1_800 < moved < 2_200


def test_each_route_deals_its_callers_out_anew() -> None:
    """Or the same callers would be the first of every canary."""
    even = {VERSIONS[0]: 1.0, VERSIONS[1]: 1.0}
    same = sum(assigned(even, "a")[caller] == assigned(even, "b")[caller] for caller in CALLERS)
    assert 0.35 * len(CALLERS) < same < 0.65 * len(CALLERS)


@pytest.mark.parametrize(
    ("sticky", "value"),
    [(None, None), ("key", "sk-1"), ("user", "ann"), ("header:x-session-id", "s1"), ("header:x-other", None)],
)
def test_by_what_a_request_stays(sticky: str | None, value: str | None) -> None:
    assert sticky_value(sticky, "sk-1", "ann", {"x-session-id": "s1"}) == value


def test_headers_are_written_in_any_case() -> None:
    assert TypeAdapter(Sticky).validate_python("header:X-Session-Id") == "header:x-session-id"


@pytest.mark.parametrize("written", ["keys", "header:", "header:a b", "", "x key"])
def test_other_words_are_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Sticky).validate_python(written)
