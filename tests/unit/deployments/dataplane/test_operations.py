"""The operations of the router: what is waited for and how long, and that nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from deployments.identity.caller import Caller
from deployments.routing.policy import Route, RouterPolicy
from deployments.routing.states import ModelState
from models.errors import (
    DeadlineExceededError,
    EngineError,
    ModelNotFoundError,
    ModelUnavailableError,
    PermissionDeniedError,
    StowageError,
    WrongTaskError,
)
from models.types import EmbeddingRequest, GenerationRequest, InferRequest, VersionId
from tests.unit.deployments.live_models import CHUNKS, EMBEDDING, TENSORS, Cluster, Replica, Replicas, state
from tests.unit.deployments.planes import LONG_S, a_call, rig_over, waiting_up_to

GENERATION = GenerationRequest("r", "hello")


Operation = Callable[[DataPlane, Call], Awaitable[object]]
OPERATIONS: list[Operation] = [
    lambda plane, call: plane.generate("m", GENERATION, call),
    lambda plane, call: plane.embed("m", EmbeddingRequest(("hello",)), call),
    lambda plane, call: plane.infer("m", InferRequest(()), call),
]
each_operation = pytest.mark.parametrize("operate", OPERATIONS, ids=["generate", "embed", "infer"])


@pytest.fixture
def cluster() -> Cluster:
    return Cluster((state("m@1"),))


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


@pytest.fixture
def replica(replicas: Replicas) -> Replica:
    """The one of m@1."""
    return replicas["m@1"]


@pytest.fixture
async def plane(cluster: Cluster, replicas: Replicas) -> DataPlane:
    return await make_plane(cluster, replicas)


async def make_plane(cluster: Cluster, replicas: Replicas, wait_s: float = LONG_S) -> DataPlane:
    return (await rig_over(cluster, replicas, waiting_up_to(wait_s))).plane


async def change(cluster: Cluster, plane: DataPlane, *states: ModelState) -> None:
    """The cluster changes, and the next poll sees it."""
    cluster.states = states
    await plane._catalog.refresh()


async def test_a_generation_comes_whole_and_from_the_version_it_names(plane: DataPlane, replica: Replica) -> None:
    replica.answer.set()
    stream = await plane.generate("m", GENERATION, a_call())
    assert [chunk async for chunk in stream] == list(CHUNKS)
    assert (stream.version, replica.ended) == (VersionId("m", "1"), True)


async def test_embeddings_and_tensors_come_with_their_version(plane: DataPlane, replica: Replica) -> None:
    replica.answer.set()
    version = VersionId("m", "1")
    assert await plane.embed("m", EmbeddingRequest(("hello",)), a_call()) == (version, EMBEDDING)
    assert await plane.infer("m@1", InferRequest(()), a_call()) == (version, TENSORS)


async def test_the_policy_chooses_the_version_and_can_be_changed(cluster: Cluster, replicas: Replicas) -> None:
    cluster.states = (state("m@1"), state("m@2"))
    plane = await make_plane(cluster, replicas)
    for version in ("m@1", "m@2"):
        replicas[version].answer.set()
    assert (await plane.infer("m", InferRequest(()), a_call()))[0] == VersionId("m", "2")
    plane._traffic.set_policy(RouterPolicy(routes={"m": Route(version="1")}))
    assert (await plane.infer("m", InferRequest(()), a_call()))[0] == VersionId("m", "1")


async def test_an_unknown_model_is_looked_for_once_more(plane: DataPlane, cluster: Cluster) -> None:
    with pytest.raises(ModelNotFoundError, match=r"model 'x' is not deployed \(deployed models: m@1\)"):
        await plane.generate("x", GENERATION, a_call())
    assert cluster.num_fetches == 1


async def test_a_model_deployed_just_now_is_found(plane: DataPlane, cluster: Cluster, replicas: Replicas) -> None:
    cluster.states = (state("m@1"), state("new@1"))
    replicas["new@1"].answer.set()
    assert (await plane.infer("new", InferRequest(()), a_call()))[0] == VersionId("new", "1")


async def test_when_serve_does_not_answer_an_unknown_model_is_unavailable(
    plane: DataPlane, cluster: Cluster
) -> None:
    cluster.error = OSError("no controller")
    with pytest.raises(ModelUnavailableError, match="no controller"):
        await plane.generate("x", GENERATION, a_call())


async def test_a_starting_model_is_waited_for(cluster: Cluster, replicas: Replicas, replica: Replica) -> None:
    cluster.states = (state("m@1", "starting"),)
    plane = await make_plane(cluster, replicas)
    cluster.upcoming = [cluster.states, cluster.states, (state("m@1"),)]
    replica.answer.set()
    await plane.infer("m", InferRequest(()), a_call())
    assert cluster.num_fetches == 3


async def test_a_starting_model_is_waited_for_no_longer_than_patience_lasts(
    cluster: Cluster, replicas: Replicas, replica: Replica
) -> None:
    cluster.states = (state("m@1", "starting", "its replica is loading"),)
    plane = await make_plane(cluster, replicas, 0.05)
    with pytest.raises(ModelUnavailableError, match="model m@1 is starting: its replica is loading") as refused:
        await plane.infer("m", InferRequest(()), a_call())
    assert refused.value.retry_after_s == pytest.approx(10, abs=1)
    assert not replica.called.is_set()


@pytest.mark.parametrize(
    ("status", "words", "retry_after_s"),
    [("failed", "has failed", 30), ("waiting", "is waiting", 5), ("stopping", "is stopping", 5)],
)
async def test_a_model_that_will_not_come_is_refused_at_once(
    cluster: Cluster, replicas: Replicas, status: str, words: str, retry_after_s: float
) -> None:
    cluster.states = (state("m@1", status, "no luck"),)
    plane = await make_plane(cluster, replicas)
    with pytest.raises(ModelUnavailableError, match=f"model m@1 {words}: no luck") as refused:
        await plane.infer("m", InferRequest(()), a_call())
    assert (refused.value.retry_after_s, cluster.num_fetches) == (retry_after_s, 0)


async def test_a_sleeping_model_is_woken_by_the_call(cluster: Cluster, replicas: Replicas) -> None:
    cluster.states = (state("m@1", "asleep"),)
    plane = await make_plane(cluster, replicas)
    call = asyncio.create_task(plane.infer("m", InferRequest(()), a_call()))
    await replicas["m@1"].called.wait()
    for status in ("starting", "ready"):
        await change(cluster, plane, state("m@1", status))
        await asyncio.sleep(0.02)
    assert not call.done()
    replicas["m@1"].answer.set()
    assert (await call)[1] == TENSORS


async def test_a_model_that_does_not_wake_in_time_is_unavailable(
    cluster: Cluster, replicas: Replicas, replica: Replica
) -> None:
    plane = await make_plane(cluster, replicas, 0.05)
    call = asyncio.create_task(plane.infer("m", InferRequest(()), a_call()))
    await replica.called.wait()
    for _ in range(2):
        await change(cluster, plane, state("m@1", "starting", "its replica is loading"))
        await asyncio.sleep(0.06)
    with pytest.raises(ModelUnavailableError, match="its replica is loading"):
        await call
    assert replica.ended


@each_operation
@pytest.mark.parametrize("status", ["failed", "waiting"])
async def test_a_replica_lost_while_it_is_waited_for_ends_the_wait(
    plane: DataPlane, cluster: Cluster, replica: Replica, operate: Operation, status: str
) -> None:
    call = asyncio.ensure_future(operate(plane, a_call()))
    await replica.called.wait()
    await change(cluster, plane, state("m@1", status, "it was lost"))
    with pytest.raises(ModelUnavailableError, match=rf"model m@1 (is|has) {status}: it was lost"):
        await call
    assert replica.ended


async def test_a_model_that_stops_answers_what_is_under_way(
    plane: DataPlane, cluster: Cluster, replica: Replica
) -> None:
    call = asyncio.create_task(plane.infer("m", InferRequest(()), a_call()))
    await replica.called.wait()
    await change(cluster, plane, state("m@1", "stopping", "it is being removed"))
    with pytest.raises(ModelUnavailableError, match="model m@1 is stopping"):
        await plane.infer("m", InferRequest(()), a_call())
    replica.answer.set()
    assert (await call)[1] == TENSORS


async def test_a_model_removed_while_it_is_waited_for_is_not_found(
    plane: DataPlane, cluster: Cluster, replica: Replica
) -> None:
    call = asyncio.create_task(plane.generate("m", GENERATION, a_call()))
    await replica.called.wait()
    await change(cluster, plane)
    with pytest.raises(ModelNotFoundError, match="model 'm' is not deployed"):
        await call
    assert replica.ended


@each_operation
async def test_the_deadline_ends_the_call(plane: DataPlane, replica: Replica, operate: Operation) -> None:
    with pytest.raises(DeadlineExceededError, match=r"time limit of 0\.05 s passed"):
        await operate(plane, a_call(0.05))
    assert replica.called.is_set()
    assert replica.ended


async def test_the_deadline_counts_the_wait_for_a_starting_model(cluster: Cluster, replicas: Replicas) -> None:
    cluster.states = (state("m@1", "starting"),)
    plane = await make_plane(cluster, replicas)
    with pytest.raises(ModelUnavailableError, match="model m@1 is starting"):
        await plane.infer("m", InferRequest(()), a_call(0.05))


async def test_a_timeout_inside_the_model_is_not_taken_for_the_deadline(
    plane: DataPlane, replica: Replica
) -> None:
    replica.error = TimeoutError("of the model's own")
    replica.answer.set()
    with pytest.raises(TimeoutError, match="of the model's own"):
        await plane.embed("m", EmbeddingRequest(("hello",)), a_call())


@each_operation
async def test_cancelling_the_call_cancels_the_work(
    plane: DataPlane, replica: Replica, operate: Operation
) -> None:
    call = asyncio.ensure_future(operate(plane, a_call()))
    await replica.called.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert replica.ended


async def test_cancelling_as_the_first_chunk_arrives_cancels_the_work(plane: DataPlane, replica: Replica) -> None:
    call = asyncio.create_task(plane.generate("m", GENERATION, a_call()))
    await replica.called.wait()
    replica.answer.set()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert replica.ended


@pytest.mark.parametrize("num_read", [0, 1, 2])
async def test_closing_the_stream_ends_the_generation(plane: DataPlane, replica: Replica, num_read: int) -> None:
    replica.answer.set()
    stream = await plane.generate("m", GENERATION, a_call())
    async with aclosing(stream):
        chunks = aiter(stream)
        for place in range(num_read):
            assert await anext(chunks) == CHUNKS[place]
        assert not replica.ended
    assert replica.ended


@each_operation
@pytest.mark.parametrize("error", [WrongTaskError("it embeds", param="model"), EngineError("it broke")])
async def test_an_error_of_the_model_comes_before_any_output(
    plane: DataPlane, replica: Replica, operate: Operation, error: StowageError
) -> None:
    replica.error = error
    replica.answer.set()
    with pytest.raises(type(error), match=str(error)):
        await operate(plane, a_call())
    assert replica.ended


async def test_a_generation_without_a_chunk_is_an_error(plane: DataPlane, replica: Replica) -> None:
    replica.chunks = ()
    replica.answer.set()
    with pytest.raises(EngineError, match="m@1 ended a generation before it gave anything"):
        await plane.generate("m", GENERATION, a_call())


async def test_cards_are_those_of_ready_versions(cluster: Cluster, replicas: Replicas) -> None:
    ready, asleep, failed = state("a@1"), state("b@1", "asleep"), state("c@1", "failed", "no luck")
    cluster.states = (ready, asleep, failed, replace(state("d@1", "starting"), card=None))
    plane = await make_plane(cluster, replicas)
    assert await plane.cards(a_call()) == [ready.card, asleep.card]
    assert await plane.states(a_call()) == list(cluster.states)
    assert (await plane.card("c", a_call()), await plane.state("c", a_call())) == (failed.card, failed)
    with pytest.raises(ModelUnavailableError, match="model d@1 is starting"):
        await plane.card("d", a_call())


async def test_a_pooled_model_is_asked_for_in_its_pool(cluster: Cluster, replicas: Replicas) -> None:
    cluster.states = (replace(state("m@1"), pool="pool-small"),)
    plane = await make_plane(cluster, replicas)
    replicas["pool-small:m@1"].answer.set()
    assert await plane.embed("m", EmbeddingRequest(("hello",)), a_call()) == (VersionId("m", "1"), EMBEDDING)


async def test_a_caller_sees_and_uses_only_what_the_key_allows(plane: DataPlane, cluster: Cluster) -> None:
    await change(cluster, plane, state("m@1"), state("n@1"))
    call = Call.start("r", LONG_S, Caller(key="abc", tenant="t", models=("n", "m@2")))
    assert [card.id.name for card in await plane.cards(call)] == ["n"]
    assert [each.id.name for each in await plane.states(call)] == ["n"]
    assert (await plane.state("n@1", call)).id == VersionId("n", "1")
    with pytest.raises(PermissionDeniedError, match="this API key is not for model 'm'"):
        await plane.infer("m", InferRequest(()), call)
