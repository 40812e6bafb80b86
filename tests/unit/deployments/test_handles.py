"""Ray's errors become ours, and a call that nobody waits for is cancelled. Serve's handles are stood in for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray import serve
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError, TaskCancelledError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)
from ray.serve.handle import DeploymentHandle

from deployments import handles
from deployments.handles import ServeClient, ServeClients
from deployments.routing.live_versions import LiveVersions
from models.errors import (
    ContextLengthError,
    EngineError,
    InvalidRequestError,
    ModelUnavailableError,
    OverloadedError,
    Refusal,
    StowageError,
    WrongTaskError,
)
from models.types import EmbeddingRequest, GenerationChunk, GenerationRequest, InferRequest, VersionId
from tests.unit.deployments.live_models import CHUNKS, EMBEDDING, TENSORS, state

VERSION = VersionId("m", "1")
GENERATION = GenerationRequest("r", "hello")


@dataclass
class Response:
    """What ``remote`` gives: to be awaited or iterated, and cancelled."""

    result: object = None
    chunks: tuple[GenerationChunk | Refusal, ...] = ()
    error: Exception | None = None
    endless: bool = False
    cancelled: bool = False

    def __await__(self) -> Generator[Any, None, object]:
        if self.endless:
            yield from asyncio.Event().wait().__await__()
        if self.error is not None:
            raise self.error
        return self.result

    async def __aiter__(self) -> AsyncIterator[GenerationChunk | Refusal]:
        for chunk in self.chunks:
            yield chunk
        await self

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Handle:
    """A deployment handle that knows one response, and counts how often it was configured."""

    response: Response
    requests: list[tuple[str, object]] = field(default_factory=list)
    configured: list[tuple[str, bool]] = field(default_factory=list)
    method_name: str = ""

    def options(self, *, method_name: str | None = None, stream: bool = False, **serialization: str) -> Handle:
        if method_name is None:
            assert set(serialization.values()) == {"pickle"}
            return self
        self.configured.append((method_name, stream))
        return Handle(self.response, self.requests, self.configured, method_name)

    def remote(self, request: object = None) -> Response:
        self.requests.append((self.method_name, request))
        return self.response


@dataclass
class PoolHandle:
    """A handle that keeps which models it was called for."""

    asked: list[str] = field(default_factory=list)
    model: str = ""

    def options(self, *, multiplexed_model_id: str | None = None, **_: object) -> PoolHandle:
        return PoolHandle(self.asked, multiplexed_model_id or self.model)

    def remote(self, _: object) -> Response:
        self.asked.append(self.model)
        return Response(result=TENSORS)


def client(response: Response) -> ServeClient:
    return ServeClient(VERSION, cast("DeploymentHandle[Any]", Handle(response)))


def raised_in_replica(cause: Exception) -> Exception:
    """What a caller of Serve sees of an exception in a replica."""
    make: Callable[..., RayTaskError] = RayTaskError
    error = make("generate", "Traceback ...", cause, proctitle="ray::m@1", pid=1, ip="127.0.0.1")
    seen: Exception = error.as_instanceof_cause()  # type: ignore[no-untyped-call]
    return seen


DEPLOYMENT = DeploymentID("Model", "m@1")
TRANSLATED: list[tuple[Exception, type[StowageError], str]] = [
    (raised_in_replica(ContextLengthError("too long")), ContextLengthError, "too long"),
    (raised_in_replica(WrongTaskError("it embeds")), WrongTaskError, "it embeds"),
    (
        raised_in_replica(ValueError("bug")),
        EngineError,
        r"^model m@1 failed \(the server's log has the details\)$",
    ),
    (ValueError("bug"), EngineError, r"^model m@1 failed \(the server's log has the details\)$"),
    (
        AioRpcError(StatusCode.CANCELLED, Metadata(), Metadata(), "bug"),
        ModelUnavailableError,
        "failed: CANCELLED$",
    ),
    (BackPressureError(12, 10), OverloadedError, "model m@1 has 12 requests waiting"),
    (TaskCancelledError(), ModelUnavailableError, "its replica is stopping"),
    (RequestCancelledError("r"), ModelUnavailableError, "its replica is stopping"),
    (RayActorError(), ModelUnavailableError, "a replica of m@1 died: The actor experienced an error"),
    (ActorUnavailableError("no network", None), ModelUnavailableError, "a replica of m@1 died: .*no network"),
    (DeploymentUnavailableError(DEPLOYMENT), ModelUnavailableError, "it failed to deploy"),
    (ReplicaUnavailableError("abc"), ModelUnavailableError, "Replica abc is no longer available"),
    (RayServeException("no such thing"), ModelUnavailableError, "cannot be called: no such thing"),
]
each_error = pytest.mark.parametrize(
    ("error", "expected", "message"), TRANSLATED, ids=[type(error).__name__ for error, *_ in TRANSLATED]
)


@each_error
async def test_errors_of_a_call_are_translated(
    error: Exception, expected: type[StowageError], message: str
) -> None:
    with pytest.raises(StowageError, match=message) as translated:
        await client(Response(error=error)).embed(EmbeddingRequest(("hello",)))
    assert type(translated.value) is expected
    assert translated.value.__cause__ is error


@each_error
async def test_errors_amid_a_stream_are_translated(
    error: Exception, expected: type[StowageError], message: str
) -> None:
    chunks = client(Response(chunks=CHUNKS[:1], error=error)).generate(GENERATION)
    assert await anext(chunks) == CHUNKS[0]
    with pytest.raises(StowageError, match=message) as translated:
        await anext(chunks)
    assert type(translated.value) is expected


async def test_what_an_error_carries_arrives() -> None:
    cause = InvalidRequestError("13 is too many", remedy="use 12", param="max_tokens")
    with pytest.raises(InvalidRequestError, match=r"13 is too many \(use 12\)") as translated:
        await client(Response(error=raised_in_replica(cause))).infer(InferRequest(()))
    assert translated.value.param == "max_tokens"


@pytest.mark.parametrize(
    "refusal", [InvalidRequestError("13 is too many", param="max_tokens"), OverloadedError("over its budget")]
)
async def test_a_refusal_that_a_replica_answers_with_is_raised_here(refusal: Refusal) -> None:
    with pytest.raises(type(refusal)) as embedded:
        await client(Response(result=refusal)).embed(EmbeddingRequest(("hello",)))
    with pytest.raises(type(refusal)) as inferred:
        await client(Response(result=refusal)).infer(InferRequest(()))
    response = Response(chunks=(refusal,))
    with pytest.raises(type(refusal)) as generated:
        await anext(client(response).generate(GENERATION))
    assert embedded.value is inferred.value is generated.value is refusal
    assert not response.cancelled


async def test_a_full_queue_is_worth_another_try_soon() -> None:
    with pytest.raises(OverloadedError) as translated:
        await client(Response(error=BackPressureError(12, 10))).infer(InferRequest(()))
    assert translated.value.retry_after_s == 1


async def test_an_error_of_ours_comes_as_it_was_raised() -> None:
    """Over gRPC Serve does not wrap what a replica raises."""
    error = ContextLengthError("too long")
    with pytest.raises(ContextLengthError) as embedded:
        await client(Response(error=error)).embed(EmbeddingRequest(("hello",)))
    with pytest.raises(ContextLengthError) as generated:
        await anext(client(Response(error=error)).generate(GENERATION))
    assert embedded.value is generated.value is error


@pytest.mark.parametrize("error", [ValueError("bug"), raised_in_replica(ValueError("bug"))], ids=["grpc", "actor"])
async def test_how_a_replica_failed_is_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("ERROR", "ray.serve"), pytest.raises(EngineError) as translated:
        await client(Response(error=error)).infer(InferRequest(()))
    assert "bug" not in str(translated.value)
    assert "A replica of m@1 failed." in caplog.text
    assert "ValueError: bug" in caplog.text


async def test_versions_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "get_app_handle", lambda _: PoolHandle())
    clients = ServeClients()
    for version, pool in ((VERSION, None), (VersionId("n", "1"), "pool"), (VersionId("n", "2"), "pool")):
        await clients.client(version, pool)
    in_pool = [replace(state(f"n@{number}"), pool="pool") for number in (1, 2)]
    kept = await clients.client(VersionId("n", "2"), "pool")
    clients.follow(LiveVersions([state("m@1"), *in_pool]))
    assert (len(clients._clients), set(clients._handles)) == (3, {"m@1", "pool"})
    clients.follow(LiveVersions(in_pool[1:]))
    assert await clients.client(VersionId("n", "2"), "pool") is kept
    assert (len(clients._clients), set(clients._handles)) == (1, {"pool"})
    clients.follow(LiveVersions([state("n@2")]))  # it has an application of its own now
    assert (clients._clients, clients._handles) == ({}, {})


async def test_results_come_through_with_one_configured_handle_for_each_method() -> None:
    handle = Handle(Response(result=EMBEDDING, chunks=CHUNKS))
    served = ServeClient(VERSION, cast("DeploymentHandle[Any]", handle))
    embedding, tensors = EmbeddingRequest(("hello",)), InferRequest(())
    for _ in range(2):
        assert [chunk async for chunk in served.generate(GENERATION)] == list(CHUNKS)
        assert await served.embed(embedding) is EMBEDDING
    handle.response.result = TENSORS
    assert await served.infer(tensors) is TENSORS
    assert handle.configured == [("generate", True), ("embed", False), ("infer", False), ("stats", False)]
    assert handle.requests[-2:] == [("embed", embedding), ("infer", tensors)]
    assert not handle.response.cancelled


async def test_a_stream_that_is_closed_early_is_cancelled() -> None:
    response = Response(chunks=CHUNKS)
    async with aclosing(client(response).generate(GENERATION)) as chunks:
        await anext(chunks)
    assert response.cancelled


async def test_a_stream_whose_reader_is_cancelled_is_cancelled() -> None:
    response = Response(endless=True)
    reader = asyncio.ensure_future(anext(client(response).generate(GENERATION)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert response.cancelled


async def test_a_call_whose_caller_is_cancelled_is_cancelled() -> None:
    response = Response(endless=True)
    call = asyncio.create_task(client(response).infer(InferRequest(())))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert response.cancelled


async def test_a_version_is_woken_by_a_call_that_is_withdrawn_when_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = Handle(Response())
    monkeypatch.setattr(serve, "get_app_handle", lambda _: handle)
    clients = ServeClients()
    await clients.wake(VERSION)
    assert handle.requests == [("stats", None)]
    handle.response.error = RayActorError()
    with pytest.raises(ModelUnavailableError, match="a replica of m@1 died"):
        await clients.wake(VERSION)
    handle.response.endless = True
    woken = asyncio.create_task(clients.wake(VERSION))
    while len(handle.requests) < 3:  # noqa: ASYNC110  step by step
        await asyncio.sleep(0)
    woken.cancel()
    with pytest.raises(asyncio.CancelledError):
        await woken
    assert handle.response.cancelled


async def test_a_handle_is_resolved_once_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []

    def get_app_handle(name: str) -> Handle:
        resolved.append(name)
        return Handle(Response())

    monkeypatch.setattr(serve, "get_app_handle", get_app_handle)
    clients = ServeClients()
    first = await clients.client(VERSION)
    assert await clients.client(VERSION) is first
    assert await clients.client(VersionId("m", "2")) is not first
    assert resolved == ["m@1", "m@2"]


async def test_what_runs_is_reached_while_serve_does_not_know_its_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its builder is at work, or has refused what was deployed last."""

    def get_app_handle(name: str) -> Handle:
        raise RayServeException(f"no application {name}")

    resolved: list[tuple[str, str]] = []

    def get_deployment_handle(deployment: str, application: str) -> Handle:
        resolved.append((deployment, application))
        return Handle(Response())

    monkeypatch.setattr(serve, "get_app_handle", get_app_handle)
    monkeypatch.setattr(serve, "get_deployment_handle", get_deployment_handle)
    monkeypatch.setattr(handles, "running_deployment", lambda _: "Model")
    await ServeClients().client(VERSION)
    assert resolved == [("Model", "m@1")]


async def test_the_models_of_a_pool_share_its_handle_and_say_which_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = PoolHandle()
    resolved: list[str] = []

    def get_app_handle(name: str) -> PoolHandle:
        resolved.append(name)
        return pool

    monkeypatch.setattr(serve, "get_app_handle", get_app_handle)
    clients = ServeClients()
    for version in (VERSION, VersionId("n", "2")):
        await (await clients.client(version, "pool-small")).infer(InferRequest(()))
    assert resolved == ["pool-small"]
    assert pool.asked == ["m@1", "n@2"]


@pytest.mark.parametrize("error", [RayServeException("no application m@1"), RayActorError()])
async def test_an_application_that_is_gone_is_unavailable_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answers: list[Exception | None] = [error, None]
    monkeypatch.setattr(handles, "running_deployment", lambda _: None)

    def get_app_handle(_: str) -> Handle:
        if answer := answers.pop(0):
            raise answer
        return Handle(Response())

    monkeypatch.setattr(serve, "get_app_handle", get_app_handle)
    clients = ServeClients()
    with pytest.raises(ModelUnavailableError, match="model m@1 cannot be reached"):
        await clients.client(VERSION)
    await clients.client(VERSION)
