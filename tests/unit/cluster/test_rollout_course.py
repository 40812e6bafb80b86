from __future__ import annotations

import pytest

from cluster.rollout_course import Course, choose_course
from deployments.routing.live_versions import LiveVersions
from deployments.routing.policy import RouterPolicy
from deployments.routing.states import ModelState
from models.errors import InvalidRequestError, ModelNotFoundError, ModelUnavailableError
from models.types import VersionId

V1, V2, V3 = (VersionId("smol", version) for version in "123")
OTHER = VersionId("llama", "1")


def live(**states: str) -> LiveVersions:
    ready = {"ready", "asleep"}
    found = {"smol1": V1, "smol2": V2, "smol3": V3, "llama": OTHER}
    return LiveVersions(
        ModelState(found[name], state in ready, state, None if state in ready else "it loads")
        for name, state in states.items()
    )


def policy(**fields: object) -> RouterPolicy:
    return RouterPolicy.model_validate(fields)


PINNED = policy(routes={"smol": {"version": "1"}})


def test_from_what_the_route_says() -> None:
    assert choose_course(PINNED, "smol", "2", {}, live(smol1="ready", smol2="asleep")) == Course("smol", V1, V2)


def test_from_the_newest_that_is_up_where_there_is_no_route() -> None:
    up = live(smol1="ready", smol2="ready", smol3="starting")
    assert choose_course(policy(), "smol", "1", {}, up) == Course("smol", V2, V1)


def test_from_where_an_earlier_rollout_left_it() -> None:
    up = live(smol1="ready", smol2="ready", smol3="ready")
    assert choose_course(PINNED, "smol", "3", {"smol": V2}, up) == Course("smol", V2, V3)


def test_an_alias_stands_for_its_name_and_a_target_may_be_another_model() -> None:
    chat = policy(routes={"chat": {"targets": {"smol@1": 1, "smol@2": 0}}}, aliases={"gpt": "chat"})
    assert choose_course(chat, "gpt", "llama@1", {}, live(smol1="ready", llama="ready")) == Course(
        "chat", V1, OTHER
    )


@pytest.mark.parametrize(
    ("routes", "model", "to", "complaint"),
    [
        ({"smol": {"version": "1"}}, "smol", "1", r"'smol' leads to smol@1 already \(pin the version"),
        ({}, "smol", "2", "'smol' leads to smol@2 already"),
        ({"smol": {"targets": {"1": 9, "2": 1}}}, "smol", "2", r"divides .* between smol@1, smol@2 \(leave it"),
        ({}, "smol@1", "2", "'smol@1' is one version already"),
        ({"smol": {"version": "1"}}, "smol", "a b", "version 'a b' is not valid"),
    ],
)
def test_what_makes_no_rollout(routes: object, model: str, to: str, complaint: str) -> None:
    with pytest.raises(InvalidRequestError, match=complaint):
        choose_course(policy(routes=routes), model, to, {}, live(smol1="ready", smol2="ready"))


def test_a_version_that_is_not_up_is_named_with_the_reason() -> None:
    with pytest.raises(ModelUnavailableError, match="smol@2 is not up but starting: it loads"):
        choose_course(PINNED, "smol", "2", {}, live(smol1="ready", smol2="starting"))
    with pytest.raises(ModelNotFoundError, match=r"smol@3 is not deployed \(write it into the configuration"):
        choose_course(PINNED, "smol", "3", {}, live(smol1="ready"))
    with pytest.raises(ModelNotFoundError, match="no version of 'smol' is up"):
        choose_course(policy(), "smol", "2", {}, live(smol1="failed"))
