"""Where a request goes, and where it goes when that fails. Second tries are in test_retries.py."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from deployments.dataplane.call import Call
from deployments.identity.caller import Caller, Role
from deployments.routing.states import Picture
from models.errors import (
    ContextLengthError,
    DeadlineExceededError,
    EngineError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StowageError,
)
from models.types import EmbeddingRequest, InferRequest
from tests.unit.deployments.live_models import state
from tests.unit.deployments.planes import GREEDY, Rig, a_call, eventually, make_rig

DOWN = ModelUnavailableError("a replica died", retry_after_s=0.1)
NO_RETRIES = {"attempts": 1}
QUICKLY = {"min_delay_ms": 0, "max_delay_ms": 0}


async def ask(rig: Rig, call: Call, model: str = "m") -> str:
    """The version that answers."""
    version, _ = await rig.plane.infer(model, InferRequest(()), call)
    return str(version)


def outcomes(call: Call) -> list[tuple[str, str]]:
    return [(str(attempt.target), attempt.outcome) for attempt in call.tally.attempts]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("unavailable", DOWN),
        ("unavailable", EngineError("it broke")),
        ("overloaded", OverloadedError("its queue is full")),
        ("deadline", DeadlineExceededError("too late")),
        ("context_too_long", ContextLengthError("513 tokens are more than 512")),
    ],
    ids=["unavailable", "broken", "overloaded", "deadline", "context"],
)
async def test_each_class_of_failure_has_its_fallback(failure: str, error: StowageError) -> None:
    route = {"retries": NO_RETRIES, "fallbacks": {failure: ["spare"]}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].error = error
    call = a_call()
    assert await ask(rig, call) == "spare@1"
    assert [target for target, _ in outcomes(call)] == ["m@1", "spare@1"]
    assert (call.tally.asked, str(call.tally.version)) == ("m", "spare@1")


async def test_a_failure_of_another_class_is_the_answer() -> None:
    route = {"retries": NO_RETRIES, "fallbacks": {"overloaded": ["spare"]}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].error = DOWN
    with pytest.raises(ModelUnavailableError, match="a replica died"):
        await ask(rig, a_call())


@pytest.mark.parametrize("error", [InvalidRequestError("temperature 9"), QuotaExceededError("nothing left")])
async def test_what_would_fail_anywhere_goes_nowhere_else(error: StowageError) -> None:
    route = {"fallbacks": {name: ["spare"] for name in ("unavailable", "overloaded", "deadline")}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].error = error
    call = a_call()
    with pytest.raises(type(error)):
        await ask(rig, call)
    assert len(call.tally.attempts) == 1


async def test_a_chain_of_fallbacks_ends_and_the_last_error_stands() -> None:
    chain = {"unavailable": ["n"]}
    policy = {
        "routes": {
            "m": {"retries": NO_RETRIES, "fallbacks": chain},
            "n": {"retries": NO_RETRIES, "fallbacks": {"unavailable": ["m"]}},
        }
    }
    rig = await make_rig("m@1", "n@1", policy=policy)
    rig.answer("m@1", "n@1")
    rig.replicas["m@1"].error, rig.replicas["n@1"].error = DOWN, ModelUnavailableError("n died too")
    call = a_call()
    with pytest.raises(ModelUnavailableError, match="n died too"):
        await ask(rig, call)
    assert [target for target, _ in outcomes(call)] == ["m@1", "n@1"]


async def test_a_model_that_is_not_deployed_falls_back_too() -> None:
    rig = await make_rig("spare@1", policy={"routes": {"m": {"fallbacks": {"unavailable": ["spare"]}}}})
    rig.answer("spare@1")
    assert await ask(rig, a_call()) == "spare@1"


async def test_a_fallback_is_for_who_may_use_it() -> None:
    route = {"retries": NO_RETRIES, "fallbacks": {"unavailable": ["spare"]}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].error = DOWN
    through_the_route = a_call(caller=Caller("k", "t", models=("m",)))
    assert await ask(rig, through_the_route) == "spare@1"
    with pytest.raises(PermissionDeniedError, match="this API key is not for model 'spare'"):
        await ask(rig, a_call(caller=Caller("k", "t", models=("m",))), "spare")


async def test_only_a_caller_uses_models() -> None:
    rig = await make_rig("m@1")
    rig.answer("m@1")
    operator = Caller("k", "t", roles=frozenset({Role.OPERATOR, Role.ADMIN}))
    call = a_call(caller=operator)
    with pytest.raises(PermissionDeniedError, match="this needs the role caller"):
        await ask(rig, call)
    assert call.tally.asked == "m"
    assert not rig.till.reservations
    assert [str(known.id) for known in await rig.plane.states(a_call(caller=operator))] == ["m@1"]
    assert await ask(rig, a_call(caller=replace(operator, roles=frozenset(Role)))) == "m@1"


async def test_who_may_not_use_a_model_hears_nothing_of_it() -> None:
    route = {"targets": {"other@1": 1}}
    rig = await make_rig("m@1", policy={"routes": {"secret": route, "gone": {"targets": {"other@9": 1}}}})
    await rig.change(state("m@1"), state("other@1", "failed", "out of memory"))
    caller = Caller("k", "t", models=("m", "mine"))
    for model in ("other", "other@1", "secret", "gone"):
        with pytest.raises(PermissionDeniedError, match=f"not for model '{model}'"):
            await ask(rig, a_call(caller=caller), model)
        with pytest.raises(PermissionDeniedError, match=f"not for model '{model}'"):
            await rig.plane.state(model, a_call(caller=caller))
    for model in ("nope", "mine"):
        with pytest.raises(ModelNotFoundError, match=r"is not deployed \(deployed models: m@1\)"):
            await ask(rig, a_call(caller=caller), model)
        with pytest.raises(ModelNotFoundError, match=r"is not deployed \(deployed models: m@1\)"):
            await rig.plane.state(model, a_call(caller=caller))
    with pytest.raises(ModelUnavailableError, match="out of memory"):
        await ask(rig, a_call(), "secret")


async def test_what_was_learnt_of_a_version_goes_with_it() -> None:
    rig = await make_rig("m@1")
    rig.answer("m@1")
    await ask(rig, a_call())
    assert len(rig.traffic._breakers._breakers) == 1
    await rig.change(state("n@1"))
    assert not rig.traffic._breakers._breakers


async def test_the_deadline_of_a_route_is_shorter_than_the_callers() -> None:
    route = {"deadline_s": 0.1, "retries": NO_RETRIES, "fallbacks": {"deadline": ["spare"]}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("spare@1")
    call = a_call()
    assert await ask(rig, call) == "spare@1"
    assert rig.replicas["m@1"].ended
    assert outcomes(call) == [("m@1", "deadline_exceeded"), ("spare@1", "ok")]


async def test_nothing_else_is_tried_after_the_callers_deadline() -> None:
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": {"fallbacks": {"deadline": ["spare"]}}}})
    rig.answer("spare@1")
    with pytest.raises(DeadlineExceededError, match=r"time limit of 0\.02 s passed"):
        await ask(rig, a_call(0.02))
    assert not rig.replicas["spare@1"].called.is_set()


async def test_a_picture_that_does_not_come_does_not_hold_a_call_beyond_its_deadline() -> None:
    rig, release = await make_rig("m@1"), threading.Event()

    def fetch() -> Picture:
        release.wait(5)
        return Picture()

    rig.catalog._fetch = fetch
    try:
        for operation in (ask(rig, a_call(0.02), "x"), rig.plane.state("x", a_call(0.02))):
            with pytest.raises(DeadlineExceededError):
                await operation
    finally:
        release.set()
    with pytest.raises(ModelNotFoundError):
        await ask(rig, a_call(), "x")


@pytest.mark.parametrize("sticky", ["key", "user", "header:x-session"])
async def test_what_is_sticky_stays_with_its_version(sticky: str) -> None:
    rig = await make_rig("m@1", "m@2", policy={"routes": {"m": {"targets": {"1": 1, "2": 1}, "sticky": sticky}}})
    rig.answer("m@1", "m@2")

    def calls(name: str) -> Call:
        attributes = {"x-session": name}
        return Call.start("r", 20, Caller(key=name, tenant="t"), attributes).for_user(name)

    first = {name: await ask(rig, calls(name)) for name in map(str, range(20))}
    assert set(first.values()) == {"m@1", "m@2"}
    assert {name: await ask(rig, calls(name)) for name in first} == first


async def test_a_rollout_takes_the_place_of_a_routes_weights_and_not_of_a_named_version() -> None:
    rig = await make_rig("m@1", "m@2", policy={"routes": {"m": {"version": "1"}}})
    rig.answer("m@1", "m@2")
    one, two = (state(name).id for name in ("m@1", "m@2"))
    rig.traffic.rollouts = {"m": {one: 75, two: 25}}
    answers = [await ask(rig, a_call()) for _ in range(400)]
    assert 0.17 < answers.count("m@2") / 400 < 0.33
    assert await ask(rig, a_call(), "m@1") == "m@1"
    rig.traffic.rollouts = {"m": {one: 0, two: 100}}
    assert {await ask(rig, a_call()) for _ in range(20)} == {"m@2"}


async def test_an_attempt_names_the_rollout_that_chose_its_version() -> None:
    route = {"retries": {"attempts": 2, **QUICKLY}, "fallbacks": {"unavailable": ["m@2", "n"]}}
    rig = await make_rig("m@1", "m@2", "n@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "m@2", "n@1")
    rig.traffic.rollouts = {"m": {state("m@1").id: 100}, "n": {state("n@1").id: 100}}
    rig.replicas["m@1"].error = rig.replicas["m@2"].error = DOWN
    call = a_call()
    assert await ask(rig, call) == "n@1"
    chosen = {(str(each.target), each.rollout) for each in call.tally.attempts}
    assert chosen == {("m@1", "m"), ("m@2", None), ("n@1", "n")}


async def test_a_hedge_is_chosen_by_the_rollout_and_a_copy_is_not() -> None:
    route = {"hedge": {"after_ms": 1}, "shadow": [{"target": "2", "share": 1}]}
    rig = await make_rig("m@1", "m@2", policy={"routes": {"m": route}})
    rig.traffic.rollouts = {"m": {state("m@1").id: 100}}
    rig.answer("m@2")
    call = a_call()
    asked = asyncio.create_task(ask(rig, call))
    await eventually(lambda: rig.replicas["m@1"].num_calls == 2)
    rig.answer("m@1")
    await asked
    assert [each.rollout for each in call.tally.attempts] == ["m", "m"]
    await eventually(lambda: len(rig.diary.left) == 1)
    assert [each.rollout for each in rig.diary.left[0][0].tally.attempts] == [None]


async def test_a_call_that_asks_several_things_has_one_version_as_others_do() -> None:
    rig = await make_rig("m@1", "m@2")
    rig.traffic.rollouts = {"m": {state("m@1").id: 75, state("m@2").id: 25}}
    calls = [a_call() for _ in range(400)]
    chosen = [str((await rig.plane.choose("m", call)).id) for call in calls]
    assert 0.17 < chosen.count("m@2") / 400 < 0.33
    assert {call.tally.asked for call in calls} == {"m"}
    with pytest.raises(PermissionDeniedError):
        await rig.plane.choose("m", a_call(caller=Caller("k", "t", models=("n",))))


async def test_a_key_for_a_route_may_ask_several_things_of_the_version_that_the_route_chose() -> None:
    rig = await make_rig("m@1", "n@1", policy={"routes": {"front": {"targets": {"m@1": 1}}}})
    rig.answer("m@1")
    call = a_call(caller=Caller("k", "t", models=("front",)))
    chosen = await rig.plane.choose("front", call)
    assert (await rig.plane.embed(str(chosen.id), EmbeddingRequest(("hello",)), call))[0] == chosen.id
    with pytest.raises(PermissionDeniedError):
        await rig.plane.embed(
            "m@1", EmbeddingRequest(("hello",)), a_call(caller=Caller("k", "t", models=("front",)))
        )


async def test_prompts_and_answers_are_kept_where_the_route_asks_for_it() -> None:
    policy = {"routes": {"m": {"log_text": True, "retries": QUICKLY}, "n": {}}}
    rig = await make_rig("m@1", "n@1", policy=policy)
    rig.answer("m@1", "n@1")
    rig.replicas["m@1"].errors = [DOWN]
    texts = {}
    for model in ("m", "n"):
        call = a_call()
        stream = await rig.plane.generate(model, GREEDY, call)
        async for _ in stream:
            pass
        await stream.aclose()
        texts[model] = call.tally.texts
    assert texts == {"m": [("hello", "one two")], "n": []}


async def test_what_is_reserved_is_settled_and_charged_to_the_model_that_answered() -> None:
    route = {"retries": NO_RETRIES, "fallbacks": {"unavailable": ["spare"]}}
    rig = await make_rig("m@1", "spare@1", policy={"routes": {"m": route}})
    rig.answer("m@1", "spare@1")
    rig.replicas["m@1"].error = DOWN
    await rig.plane.embed("m", EmbeddingRequest(("hello",)), a_call())
    first, second = rig.till.reservations
    assert (first.model, first.answered, first.settled and first.settled.total_tokens) == ("m", False, 0)
    assert (second.model, second.answered, second.settled and second.settled.total_tokens) == ("spare", True, 2)


async def test_who_has_nothing_left_asks_no_replica() -> None:
    rig = await make_rig("m@1")
    rig.till.refusal = QuotaExceededError("nothing left today")
    with pytest.raises(QuotaExceededError):
        await ask(rig, a_call())
    assert not rig.replicas["m@1"].called.is_set()


async def test_who_waits_for_a_limit_waits_no_longer_than_its_deadline() -> None:
    rig = await make_rig("m@1")
    rig.till.is_slow = True
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceededError):
            await ask(rig, a_call(0.02))
    (reservation,) = rig.till.reservations
    assert reservation.spending is None
    assert not rig.replicas["m@1"].called.is_set()


async def test_cancelling_a_call_in_the_queue_gives_back_what_it_reserved() -> None:
    rig = await make_rig("m@1")
    (known,) = rig.cluster.states
    assert known.card is not None
    await rig.change(replace(known, card=replace(known.card, max_concurrency=1)))
    inside = [asyncio.create_task(ask(rig, a_call())) for _ in range(2)]
    await eventually(lambda: rig.replicas["m@1"].num_calls == 2)
    call = a_call()
    waiting = asyncio.create_task(ask(rig, call))
    await eventually(lambda: len(rig.till.reservations) == 3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert rig.till.reservations[2].settled is not None
    assert (rig.replicas["m@1"].num_calls, call.tally.attempts) == (2, [])
    rig.answer("m@1")
    await asyncio.gather(*inside)


async def test_a_queue_takes_no_call_beyond_its_deadline() -> None:
    rig = await make_rig("m@1")
    (known,) = rig.cluster.states
    assert known.card is not None
    await rig.change(replace(known, card=replace(known.card, max_concurrency=1)))
    inside = [asyncio.create_task(ask(rig, a_call())) for _ in range(2)]
    await eventually(lambda: rig.replicas["m@1"].num_calls == 2)
    with pytest.raises(DeadlineExceededError):
        await ask(rig, a_call(0.02))
    rig.answer("m@1")
    await asyncio.gather(*inside)
