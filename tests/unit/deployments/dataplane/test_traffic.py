"""The policy in force: changed at once for what comes, with what was learnt of the versions kept."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from deployments.dataplane.call import Call
from deployments.dataplane.traffic import Traffic
from deployments.identity.caller import Caller
from deployments.routing.live_versions import LiveVersions
from deployments.routing.policy import RouterPolicy
from models.errors import ModelNotFoundError, ModelUnavailableError
from models.types import VersionId
from tests.unit.deployments.live_models import state

LIVE = LiveVersions((state("m@1"), state("m@2")))
CALL = Call("r", 1.0, 1.0, 0.0)
M1, M2 = VersionId("m", "1"), VersionId("m", "2")
BREAKER = {"breaker": {"min_requests": 1}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def traffic() -> Traffic:
    return Traffic(Clock(), Random(1))  # noqa: S311


def routed(**routes: dict[str, object]) -> RouterPolicy:
    return RouterPolicy.model_validate({"routes": routes})


def chosen(traffic: Traffic, name: str = "m", call: Call = CALL) -> VersionId:
    destination, _ = traffic.chain(name)
    return traffic.choose(destination, LIVE, call).id


def fail(traffic: Traffic, version: VersionId, name: str = "m") -> None:
    destination, _ = traffic.chain(name)
    with pytest.raises(ModelUnavailableError, match="down"), traffic.attempt(destination, version):
        raise ModelUnavailableError("down")


def test_without_a_policy_the_newest_version_answers(traffic: Traffic) -> None:
    assert chosen(traffic) == M2
    assert traffic.look_up("m", LIVE).id == M2
    with pytest.raises(ModelNotFoundError):
        traffic.look_up("n", LIVE)


def test_a_rollout_says_which_version_speaks_for_a_name(traffic: Traffic) -> None:
    traffic.rollouts = {"m": {M1: 95, M2: 5}}
    assert traffic.look_up("m", LIVE).id == M1
    assert traffic.look_up("m@2", LIVE).id == M2


def test_a_rollout_decides_unless_a_header_or_the_name_does(traffic: Traffic) -> None:
    traffic.set_policy(
        routed(m={"match": [{"headers": {"x-team": "a"}, "version": "2"}]}, n={"targets": {"m@1": 1}})
    )
    traffic.rollouts = {"m": {M1: 95, M2: 5}}
    matched = replace(CALL, attributes={"x-team": "a"})
    asked = [("m", CALL), ("m", matched), ("m@2", CALL), ("n", CALL)]
    assert [traffic.rollout_of(traffic.chain(name)[0], call) for name, call in asked] == ["m", None, None, None]


def test_a_new_policy_holds_for_what_comes(traffic: Traffic) -> None:
    before, _ = traffic.chain("m")
    traffic.set_policy(routed(m={"version": "1"}))
    assert chosen(traffic) == M1
    assert traffic.choose(before, LIVE, CALL).id == M2


def test_an_open_breaker_stays_open_over_a_change_of_the_policy(traffic: Traffic) -> None:
    traffic.set_policy(routed(m={"targets": {"1": 1, "2": 0.001}, **BREAKER}))
    fail(traffic, M1)
    assert chosen(traffic) == M2
    traffic.set_policy(routed(m={"version": "1", **BREAKER}))
    with pytest.raises(ModelUnavailableError, match="m@1 failed too often"):
        chosen(traffic)


def test_a_key_decides_where_the_route_is_sticky_by_key(traffic: Traffic) -> None:
    traffic.set_policy(routed(m={"targets": {"1": 1, "2": 1}, "sticky": "key"}))
    calls = [Call("r", 1.0, 1.0, 0.0, Caller(str(number), "t")) for number in range(30)]
    first = [chosen(traffic, call=call) for call in calls]
    assert set(first) == {M1, M2}
    assert [chosen(traffic, call=call) for call in calls] == first


def test_a_tenants_weight_is_one_unless_it_is_said(traffic: Traffic) -> None:
    traffic.set_policy(RouterPolicy.model_validate({"tenants": {"acme": {"weight": 3}}}))
    assert (traffic.weight_of("acme"), traffic.weight_of("other")) == (3, 1)


def test_only_routes_with_shadows_have_copies(traffic: Traffic) -> None:
    traffic.set_policy(routed(m={"version": "1", "shadow": [{"target": "2", "share": 1}]}, n={"version": "1"}))
    with_shadow, _ = traffic.chain("m")
    assert [each.id for each in traffic.shadows(with_shadow, LIVE, M1)] == [M2]
    assert traffic.shadows(with_shadow, LIVE, M2) == []
    assert traffic.shadows(traffic.chain("n")[0], LIVE, M1) == []
