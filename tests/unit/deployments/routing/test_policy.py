"""Which version a name leads to."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.policy import Route, RouterPolicy, choose_version, version_order
from deployments.routing.states import ModelState
from models.errors import InvalidRequestError, ModelNotFoundError
from models.types import VersionId

NO_ROUTES = RouterPolicy()


def states(**statuses: str) -> list[ModelState]:
    """Versions of the model ``m``: ``v2="ready"`` is m@2."""
    return [
        ModelState(VersionId("m", key.removeprefix("v")), status == "ready", status)
        for key, status in statuses.items()
    ]


def chosen(model: str, policy: RouterPolicy, live: list[ModelState]) -> str:
    return str(choose_version(model, policy, live).id)


def test_a_name_leads_to_its_newest_ready_version() -> None:
    live = states(v2="ready", v10="ready", v9="ready", v11="starting")
    assert chosen("m", NO_ROUTES, live) == "m@10"


def test_a_name_without_a_ready_version_leads_to_its_newest() -> None:
    assert chosen("m", NO_ROUTES, states(v2="failed", v10="starting", v9="failed")) == "m@10"


def test_a_version_is_served_as_it_is_asked_for() -> None:
    assert chosen("m@2", NO_ROUTES, states(v2="failed", v3="ready")) == "m@2"


def test_a_route_goes_before_the_newest_version() -> None:
    policy = RouterPolicy(routes={"m": Route(version="2")})
    assert chosen("m", policy, states(v2="failed", v3="ready")) == "m@2"
    assert chosen("m@3", policy, states(v2="failed", v3="ready")) == "m@3"


@pytest.mark.parametrize("model", ["x", "m@9", "M"])
def test_what_is_not_there_is_answered_with_what_is(model: str) -> None:
    live = [*states(v2="ready"), ModelState(VersionId("a", "1"), False, "failed")]
    with pytest.raises(ModelNotFoundError, match=f"model '{model}' is not deployed") as refused:
        choose_version(model, NO_ROUTES, live)
    assert refused.value.remedy == "deployed models: a@1, m@2"


def test_a_route_to_a_version_that_is_not_there_is_not_found() -> None:
    with pytest.raises(ModelNotFoundError, match="deployed models: m@2"):
        choose_version("m", RouterPolicy(routes={"m": Route(version="1")}), states(v2="ready"))


def test_an_empty_cluster_says_so() -> None:
    with pytest.raises(ModelNotFoundError, match="deployed models: none"):
        choose_version("m", NO_ROUTES, [])


@pytest.mark.parametrize("model", ["m@", "@1", "m@1@2", "m@../x"])
def test_a_malformed_version_is_the_callers_fault(model: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not valid") as refused:
        choose_version(model, NO_ROUTES, states(v1="ready"))
    assert refused.value.param == "model"


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
