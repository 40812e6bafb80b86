"""Which version answers a request."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.identity.caller import Caller
from deployments.routing.breaker import BreakerSettings
from deployments.routing.choice import Chooser, Rights, look_up
from deployments.routing.live_versions import LiveVersions
from deployments.routing.policy import RouterPolicy
from deployments.routing.states import ModelState
from deployments.routing.table import RoutingTable, Weights
from models.errors import ModelNotFoundError, ModelUnavailableError, PermissionDeniedError
from models.types import VersionId

V1, V2 = VersionId("m", "1"), VersionId("m", "2")


def live_versions(statuses: dict[str, str]) -> LiveVersions:
    """Versions by status, such as ``{"m@1": "ready"}``."""
    return LiveVersions(
        ModelState(VersionId.parse(version), status in ("ready", "asleep"), status, f"it is {status}")
        for version, status in statuses.items()
    )


def table(**routes: object) -> RoutingTable:
    return RoutingTable(RouterPolicy.model_validate({"routes": routes}))


class Breakers:
    """Those that are open, and for how long."""

    def __init__(self, **blocked_s: float) -> None:
        self._blocked_s = {VersionId("m", name.removeprefix("v")): value for name, value in blocked_s.items()}

    def blocked_s(self, version: VersionId, settings: BreakerSettings | None) -> float:
        return self._blocked_s.get(version, 0.0) if settings else 0.0


def chooser(seed: int = 1, **blocked_s: float) -> Chooser:
    return Chooser(Random(seed), Breakers(**blocked_s).blocked_s)  # noqa: S311 - the same draws in each run


def chosen(model: str, routing: RoutingTable, statuses: dict[str, str], **blocked_s: float) -> str:
    return str(chooser(1, **blocked_s).choose(routing.resolve(model), live_versions(statuses), {}).id)


EVEN = table(m={"targets": {1: 1, 2: 1}})
BOTH_UP = live_versions({"m@1": "ready", "m@2": "ready"})


@pytest.mark.parametrize("status", ["ready", "asleep"])
def test_a_name_leads_to_its_newest_version_that_answers(status: str) -> None:
    statuses = {"m@2": "ready", "m@10": status, "m@9": "ready", "m@11": "starting", "m@12": "failed"}
    assert chosen("m", table(), statuses) == "m@10"
    assert chosen("m", table(), statuses, v10=3) == "m@9"


def test_a_name_without_a_version_that_answers_leads_to_one_that_will() -> None:
    assert chosen("m", table(), {"m@2": "starting", "m@3": "starting", "m@4": "failed"}) == "m@3"


def test_a_version_is_served_as_it_is_asked_for() -> None:
    statuses = {"m@1": "ready", "m@2": "ready"}
    assert chosen("m@1", table(m={"version": 2}), statuses) == "m@1"
    assert chosen("m", table(m={"version": 1}), statuses) == "m@1"


def test_a_public_name_need_not_be_a_model_s() -> None:
    assert chosen("chat", table(chat={"targets": {"m@1": 1}}), {"m@1": "ready"}) == "m@1"


def draws(
    routing: RoutingTable, live: LiveVersions, count: int, seed: int, rollout: Weights | None = None
) -> Counter[str]:
    chooses, destination = chooser(seed), routing.resolve("m")
    return Counter(chooses.choose(destination, live, {}, rollout=rollout).id.version for _ in range(count))


@given(st.lists(st.integers(0, 100), min_size=2, max_size=5).filter(any), st.integers(0, 2**32))
def test_weights_are_respected(weights: list[int], seed: int) -> None:
    """Within six standard deviations of the binomial distribution, and a few for the tails of small shares."""
    targets = {str(number): weight for number, weight in enumerate(weights)}
    live = live_versions({f"m@{version}": "ready" for version in targets})
    count = 2000
    found = draws(table(m={"targets": targets}), live, count, seed)
    for version, weight in targets.items():
        share = weight / sum(weights)
        assert abs(found[version] - count * share) <= 6 * sqrt(count * share * (1 - share)) + 5


@pytest.mark.parametrize("status", ["starting", "waiting", "failed", "stopping", "absent"])
def test_the_share_of_a_version_that_cannot_answer_goes_to_the_others(status: str) -> None:
    statuses = {"m@1": "ready", "m@2": "ready", "m@3": status}
    if status == "absent":
        del statuses["m@3"]
    found = draws(table(m={"targets": {1: 1, 2: 3, 3: 96}}), live_versions(statuses), 2000, seed=1)
    assert set(found) == {"1", "2"}
    assert 400 < found["1"] < 600


def test_a_version_whose_breaker_is_open_is_passed_over() -> None:
    chooses, destination = chooser(v1=3.0), EVEN.resolve("m")
    assert {chooses.choose(destination, BOTH_UP, {}).id for _ in range(50)} == {V2}
    destination = table(m={"targets": {1: 1, 2: 1}, "breaker": "off"}).resolve("m")
    assert {chooses.choose(destination, BOTH_UP, {}).id for _ in range(50)} == {V1, V2}


def test_when_none_answers_one_that_starts_is_waited_for() -> None:
    assert chosen("m", EVEN, {"m@1": "failed", "m@2": "starting"}) == "m@2"
    assert chosen("m", EVEN, {"m@1": "ready", "m@2": "starting"}, v1=9) == "m@2"


def test_a_rollout_takes_the_place_of_the_weights() -> None:
    found = draws(EVEN, BOTH_UP, 1000, seed=1, rollout={V1: 99, V2: 1})
    assert 1 <= found["2"] < 40


def test_a_match_sends_a_request_elsewhere() -> None:
    routing = table(m={"version": 1, "match": [{"headers": {"x-team": "a"}, "version": 2}]})
    destination = routing.resolve("m")
    assert chooser().choose(destination, BOTH_UP, {"x-team": "a"}).id == V2
    assert chooser().choose(destination, BOTH_UP, {"x-team": "b"}).id == V1


def test_a_sticky_value_stays_with_one_version_while_it_is_there() -> None:
    destination = EVEN.resolve("m")
    by_user = {
        user: {chooser(seed).choose(destination, BOTH_UP, {}, user).id for seed in range(5)}
        for user in map(str, range(40))
    }
    assert all(len(versions) == 1 for versions in by_user.values())
    assert set.union(*by_user.values()) == {V1, V2}
    only_1 = live_versions({"m@1": "ready", "m@2": "failed"})
    assert all(chooser().choose(destination, only_1, {}, user).id == V1 for user in by_user)


@pytest.mark.parametrize(
    ("statuses", "message", "retry_after_s"),
    [
        ({"m@1": "failed"}, "model m@1 has failed: it is failed", 30),
        ({"m@1": "waiting"}, "model m@1 is waiting: it is waiting", 5),
        ({"m@1": "ready"}, "model m@1 failed too often and is left alone for 3.0 s", 3),
        (
            {"m@1": "ready", "m@2": "failed"},
            (
                "no version of 'm' can answer: model m@1 failed too often and is left alone for 3.0 s; "
                "model m@2 has failed: it is failed"
            ),
            3,
        ),
    ],
)
def test_when_no_version_can_answer_all_reasons_are_said(
    statuses: dict[str, str], message: str, retry_after_s: float
) -> None:
    with pytest.raises(ModelUnavailableError) as refused:
        chosen("m", EVEN, statuses, v1=3.0)
    assert refused.value.message == message
    assert refused.value.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    ("model", "name"),
    [("x", "'x'"), ("m@9", "'m@9'"), ("M", "'M'"), ("r", "'r', which leads to m@7, m@8,")],
)
def test_what_is_not_there_is_answered_with_what_is(model: str, name: str) -> None:
    destination = table(r={"targets": {"m@7": 1, "m@8": 1}}).resolve(model)
    live = live_versions({"m@2": "ready", "a@1": "failed"})
    with pytest.raises(ModelNotFoundError, match=f"model {name} is not deployed") as refused:
        chooser().choose(destination, live, {})
    assert refused.value.remedy == "deployed models: a@1, m@2"
    with pytest.raises(ModelNotFoundError, match=f"model {name} is not deployed"):
        look_up(destination, live)


def test_only_what_the_caller_may_use_is_told() -> None:
    destination = table(r={"targets": {"m@1": 1, "n@1": 1}}).resolve("r")
    live = live_versions({"m@1": "failed", "n@1": "failed"})
    mine = Caller("k", "t", models=("m",))
    with pytest.raises(ModelUnavailableError, match=r"^model m@1 has failed: it is failed$"):
        chooser().choose(destination, live, {}, rights=Rights(mine, ("r",)))
    route = Caller("k", "t", models=("r",))
    with pytest.raises(ModelUnavailableError, match="n@1 has failed"):
        chooser().choose(destination, live, {}, rights=Rights(route, ("r",)))
    neither = Rights(Caller("k", "t", models=("x",)), ("r",))
    with pytest.raises(PermissionDeniedError, match="not for model 'r'"):
        chooser().choose(destination, live, {}, rights=neither)
    with pytest.raises(PermissionDeniedError, match="not for model 'r'"):
        look_up(destination, live_versions({}), rights=neither)


def test_an_empty_cluster_says_so() -> None:
    with pytest.raises(ModelNotFoundError, match="deployed models: none"):
        chosen("m", table(), {})


@pytest.mark.parametrize(
    ("statuses", "model", "version"),
    [
        ({"m@1": "ready", "m@2": "ready"}, "m", "m@2"),
        ({"m@1": "ready", "m@2": "failed"}, "m", "m@1"),
        ({"m@1": "starting", "m@2": "failed"}, "m", "m@2"),
        ({"m@1": "ready", "m@2": "failed"}, "m@2", "m@2"),
        ({"n@9": "ready", "n@10": "ready", "n@11": "failed"}, "n", "n@10"),
        ({"n@9": "failed", "n@10": "starting"}, "n", "n@10"),
    ],
)
def test_one_version_speaks_for_a_name(statuses: dict[str, str], model: str, version: str) -> None:
    routing = table(m={"targets": {1: 5, 2: 95}})
    assert str(look_up(routing.resolve(model), live_versions(statuses)).id) == version


SHADOWED = table(m={"version": 1, "shadow": [{"target": "2", "share": 0.25}]}).resolve("m")


def test_a_share_of_the_requests_is_copied() -> None:
    chooses = chooser()
    copies = [chooses.shadows(SHADOWED, BOTH_UP, V1) for _ in range(4000)]
    assert {state.id for copied in copies for state in copied} == {V2}
    assert 850 < sum(map(len, copies)) < 1150


@pytest.mark.parametrize("status", ["asleep", "starting", "failed"])
def test_no_copy_wakes_or_waits_for_a_version(status: str) -> None:
    live, chooses = live_versions({"m@1": "ready", "m@2": status}), chooser()
    assert not any(chooses.shadows(SHADOWED, live, V1) for _ in range(100))


def test_a_version_gets_no_copy_of_what_it_answers() -> None:
    chooses = chooser()
    assert not any(chooses.shadows(SHADOWED, BOTH_UP, V2) for _ in range(100))
