"""Where a name leads, and what is tried when that fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.failures import Failure
from deployments.routing.policy import Route, RouterPolicy
from deployments.routing.table import Destination, FallbackChain, RoutingTable
from models.errors import InvalidRequestError
from models.types import VersionId

V1, V2, V3 = (VersionId("m", version) for version in "123")
ROUTE = Route.model_validate(
    {
        "targets": {1: 95, 2: 5, 3: 0},
        "match": [{"headers": {"team": "a"}, "version": 2}, {"headers": {"team": "*"}, "version": 3}],
        "shadow": [{"target": "3", "share": 0.5}],
        "deadline_s": 3,
    }
)
TABLE = RoutingTable(
    RouterPolicy(routes={"m": ROUTE}, aliases={"gpt": "m", "gpt-4": "gpt", "old": "m@1", "free": "n"})
)


@pytest.mark.parametrize("model", ["m", "gpt", "gpt-4"])
def test_a_route_is_reached_by_its_name_and_aliases(model: str) -> None:
    destination = TABLE.resolve(model)
    assert (destination.name, destination.route, destination.exact) == ("m", ROUTE, False)
    assert destination.weights == {V1: 95, V2: 5}
    assert destination.shadows == {V3: 0.5}


@pytest.mark.parametrize("model", ["m@1", "old"])
def test_a_version_passes_its_route_by(model: str) -> None:
    assert TABLE.resolve(model) == Destination("m@1", Route(), {V1: 1.0}, exact=True)


@pytest.mark.parametrize("model", ["n", "free"])
def test_a_name_without_a_route_stands_for_the_model(model: str) -> None:
    assert TABLE.resolve(model) == Destination("n")


@pytest.mark.parametrize("model", ["m@", "@1", "m@1@2", "m@../x"])
def test_a_malformed_version_is_the_callers_fault(model: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not valid") as refused:
        TABLE.resolve(model)
    assert refused.value.param == "model"


def test_the_first_match_goes_before_a_rollout_and_that_before_the_route() -> None:
    destination, rollout = TABLE.resolve("m"), {V1: 0.0, V3: 1.0}
    assert destination.weights_for({"team": "a"}, rollout) == {V2: 1}
    assert destination.weights_for({"team": "b"}, rollout) == {V3: 1}
    assert destination.weights_for({}, rollout) == {V3: 1}
    assert destination.weights_for({}, None) == {V1: 95, V2: 5}
    assert TABLE.resolve("n").weights_for({}, rollout) == {V3: 1}
    assert TABLE.resolve("m@1").weights_for({}, rollout) == {V1: 1}


def chain(fallbacks: dict[str, list[str]], failure: Failure = Failure.UNAVAILABLE) -> RoutingTable:
    routes = {name: Route(fallbacks={failure: tuple(names)}) for name, names in fallbacks.items()}
    return RoutingTable(RouterPolicy(routes=routes, aliases={"alias": "c"}))


def tried(table: RoutingTable, first: str, failures: list[Failure | None]) -> list[str]:
    fallbacks = FallbackChain(table, table.resolve(first))
    found = [fallbacks.next(failure) for failure in failures]
    return [destination.name for destination in found if destination is not None]


def test_fallbacks_are_tried_in_order_and_their_own_come_after() -> None:
    table = chain({"a": ["b", "alias"], "b": ["a", "d@1", "c"], "c": ["b"]})
    assert tried(table, "a", [Failure.UNAVAILABLE] * 6) == ["b", "c", "d@1"]


def test_each_failure_has_its_own_fallbacks() -> None:
    table = chain({"a": ["b"]}, Failure.OVERLOADED)
    assert tried(table, "a", [Failure.UNAVAILABLE]) == []
    assert tried(table, "a", [Failure.OVERLOADED]) == ["b"]
    assert tried(table, "a", [None]) == []


def test_what_would_fail_anywhere_ends_a_chain_that_has_more() -> None:
    assert tried(chain({"a": ["b", "c"]}), "a", [Failure.UNAVAILABLE, None]) == ["b"]


NAMES = st.sampled_from("abcdef")


@given(
    st.dictionaries(NAMES, st.dictionaries(st.sampled_from(Failure), st.lists(NAMES, unique=True, max_size=5))),
    st.dictionaries(st.sampled_from(["x", "y"]), NAMES),
    st.lists(st.sampled_from(Failure), min_size=7, max_size=7),
    NAMES,
)
def test_every_chain_ends_and_tries_no_name_twice(
    written: dict[str, dict[Failure, list[str]]], aliases: dict[str, str], failures: list[Failure], first: str
) -> None:
    routes = {
        name: Route(fallbacks={failure: tuple(set(names) - {name}) for failure, names in by_failure.items()})
        for name, by_failure in written.items()
    }
    table = RoutingTable(RouterPolicy(routes=routes, aliases=aliases))
    names = tried(table, first, list(failures))
    assert first not in names
    assert len(set(names)) == len(names) <= 5
