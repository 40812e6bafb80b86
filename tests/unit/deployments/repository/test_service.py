"""What an operator's orders do, and what they are refused for."""

from __future__ import annotations

import asyncio

import pytest

from deployments.dataplane.call import Call
from deployments.identity.caller import Caller, Role
from deployments.repository.orders import Change, LoadOrder
from deployments.routing.policy import RouterPolicy
from deployments.routing.run_time import Stamp
from models.errors import (
    ConflictError,
    DeadlineExceededError,
    DoesNotFitError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    PermissionDeniedError,
    VersionNotFoundError,
)
from models.types import VersionId
from tests.unit.deployments.repository.fake import NOW, Rig

ANN = Caller("sk-ann", "default", owner="ann", roles=frozenset({Role.OPERATOR}))
CALLER = Caller("sk-cal", "default", owner="cal")
M1, M2 = VersionId("m", "1"), VersionId("m", "2")


def call(caller: Caller = ANN, timeout_s: float = 5) -> Call:
    return Call.start("r", timeout_s, caller)


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.cluster.add("m@1")
    return made


async def test_a_version_is_loaded_and_told_of(rig: Rig) -> None:
    loaded = await rig.repository.load(LoadOrder("m"), call())
    assert (loaded.state.id, loaded.state.ready) == (M2, True)
    assert loaded.deployed is not None
    assert loaded.deployed.note is not None
    assert loaded.deployed.note.loaded == Stamp("ann", NOW)
    assert rig.chronicle.events == [("sk-ann", "model.load", "m@2")]
    assert [str(each.state.id) for each in await rig.repository.index(call())] == ["m@1", "m@2"]


async def test_what_is_there_is_loaded_no_second_time(rig: Rig) -> None:
    orders = [rig.repository.load(LoadOrder("m", "2", {"num_cpus": 0.1}), call()) for _ in range(5)]
    assert {each.state.id for each in await asyncio.gather(*orders)} == {M2}
    await rig.repository.load(LoadOrder("m", "1"), call())
    assert (rig.cluster.num_deployed, len(rig.chronicle.events)) == (1, 1)
    with pytest.raises(ConflictError, match="m@2 is deployed with another num_cpus"):
        await rig.repository.load(LoadOrder("m", "2", {"num_cpus": 2}), call())


async def test_what_does_not_fit_or_is_not_there_changes_nothing(rig: Rig) -> None:
    with pytest.raises(VersionNotFoundError):
        await rig.repository.load(LoadOrder("m", "9"), call())
    rig.cluster.room = 1
    with pytest.raises(DoesNotFitError):
        await rig.repository.load(LoadOrder("m", "2"), call())
    assert rig.chronicle.events == []


@pytest.mark.parametrize("status", ["failed", "waiting"])
async def test_one_that_does_not_become_ready_says_why_and_stays(rig: Rig, status: str) -> None:
    rig.cluster.becomes = status
    with pytest.raises(ModelUnavailableError, match="no luck"):
        await rig.repository.load(LoadOrder("m", "2"), call())
    assert rig.chronicle.events == [("sk-ann", "model.load", "m@2")]
    assert (await rig.repository.unload("m@2", call()))[0] == M2


async def test_the_wait_for_one_that_starts_is_bounded_or_left_out(rig: Rig) -> None:
    rig.cluster.becomes = "starting"
    with pytest.raises(DeadlineExceededError):
        await rig.repository.load(LoadOrder("m", "2"), call(timeout_s=0.05))
    assert not (await rig.repository.load(LoadOrder("m", "2"), call(), wait=False)).state.ready


async def test_the_list_is_bounded_as_well(rig: Rig) -> None:
    rig.cluster.hangs = True
    with pytest.raises(DeadlineExceededError):
        await rig.repository.index(call(timeout_s=0.05))


async def test_what_a_caller_that_left_has_begun_is_done_and_written_down(rig: Rig) -> None:
    rig.cluster.slow = asyncio.Event()
    with pytest.raises(DeadlineExceededError):
        await rig.repository.load(LoadOrder("m", "2"), call(timeout_s=0.05))
    waiting = asyncio.create_task(rig.repository.load(LoadOrder("other"), call()))
    with pytest.raises(DeadlineExceededError):  # it has not had its turn
        await rig.repository.change("m@1", Change(max_replicas=9), call(timeout_s=0.05))
    rig.cluster.slow.set()
    await waiting
    assert [subject for _, _, subject in rig.chronicle.events] == ["m@2", "other@1"]
    assert rig.cluster.there["m@1"].note is None


async def test_what_may_have_been_done_is_written_down(rig: Rig) -> None:
    rig.cluster.error = ModelUnavailableError("the controller died")
    with pytest.raises(ModelUnavailableError, match="the controller died"):
        await rig.repository.change("m@1", Change(max_replicas=3), call())
    assert rig.chronicle.events == [("sk-ann", "model.change", "m@1")]
    rig.cluster.error = None
    await rig.repository.change("m@1", Change(max_replicas=3), call())
    assert rig.cluster.detached == ["m@1"]


async def test_a_version_is_changed_in_place(rig: Rig) -> None:
    changed = await rig.repository.change("m@1", Change(max_replicas=3), call())
    assert changed.deployed is not None
    note = changed.deployed.note
    assert note is not None
    assert (note.loaded, note.changed, list(note.differences())) == (
        None, Stamp("ann", NOW), ["max_replicas absent -> 3"],
    )  # fmt: skip
    assert changed.deployed.is_of_file
    await rig.repository.change("m@1", Change(max_replicas=3), call())
    assert rig.chronicle.events == [("sk-ann", "model.change", "m@1")]
    with pytest.raises(ModelNotFoundError):
        await rig.repository.change("m@2", Change(max_replicas=3), call())


async def test_a_version_is_unloaded_once(rig: Rig) -> None:
    await rig.repository.load(LoadOrder("m", "2"), call())
    assert not (await rig.repository.unload("m@2", call()))[1].is_of_file
    with pytest.raises(ModelNotFoundError, match="deployed models: m@1"):
        await rig.repository.unload("m@2", call())
    assert [action for _, action, _ in rig.chronicle.events] == ["model.load", "model.unload"]


async def test_what_something_leads_to_is_unloaded_only_by_force(rig: Rig) -> None:
    with pytest.raises(ConflictError, match="m@1 is the only version of m"):
        await rig.repository.unload("m@1", call())
    await rig.repository.load(LoadOrder("m", "2"), call())
    rig.traffic.set_policy(RouterPolicy.model_validate({"routes": {"chat": {"targets": {"m@1": 1, "m@2": 0}}}}))
    with pytest.raises(ConflictError, match="the route 'chat' leads to m@1"):
        await rig.repository.unload("m@1", call())
    for policy, why in (
        ({"aliases": {"stable": "m@1"}}, "the alias 'stable' leads to m@1"),
        ({"routes": {"other": {"fallbacks": {"unavailable": ["m@1"]}}}}, "the route 'other' leads to m@1"),
    ):
        rig.traffic.set_policy(RouterPolicy.model_validate(policy))
        with pytest.raises(ConflictError, match=why):
            await rig.repository.unload("m@1", call())
    rig.traffic.rollouts = {"m": {M1: 0, M2: 100}}
    for model in ("m@1", "m@2"):
        with pytest.raises(ConflictError, match=f"a rollout leads to {model}"):
            await rig.repository.unload(model, call())
    assert (await rig.repository.unload("m@1", call(), force=True))[1].is_of_file


async def test_a_model_of_a_pool_is_left_to_the_pool(rig: Rig) -> None:
    rig.cluster.put_into_pool("other@1")
    for attempt in (rig.repository.load(LoadOrder("other"), call()), unload_other(rig)):
        with pytest.raises(ConflictError, match="other@1 is served by pool-small"):
            await attempt


async def unload_other(rig: Rig) -> object:
    return await rig.repository.unload("other", call(), force=True)


async def test_only_operators_change_what_runs(rig: Rig) -> None:
    limited = Caller("sk-lim", "default", roles=frozenset({Role.ADMIN}), models=("other",))
    for caller in (CALLER, limited):
        for attempt in (
            rig.repository.load(LoadOrder("m", "2"), call(caller)),
            rig.repository.unload("m@1", call(caller), force=True),
            rig.repository.change("m@1", Change(1), call(caller)),
        ):
            with pytest.raises(PermissionDeniedError):
                await attempt
    with pytest.raises(PermissionDeniedError, match="role operator"):
        await rig.repository.index(call(CALLER))
    assert await rig.repository.index(call(limited)) == []


async def test_a_name_stands_for_its_only_version(rig: Rig) -> None:
    assert (await rig.repository.change("m", Change(max_replicas=2), call())).state.id == M1
    await rig.repository.load(LoadOrder("m", "2"), call())
    with pytest.raises(InvalidRequestError, match="'m' has several versions: m@2, m@1"):
        await rig.repository.unload("m", call())
    with pytest.raises(ModelNotFoundError):
        await rig.repository.unload("absent", call())
    with pytest.raises(InvalidRequestError, match=r"\.\./x"):
        await rig.repository.unload("m@../x", call())
