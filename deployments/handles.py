"""Calls to model replicas: cached Serve handles, and Ray's errors turned into ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

from grpc.aio import AioRpcError
from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle, DeploymentResponse, DeploymentResponseGenerator

from deployments.live import running_deployment
from deployments.routing.live_versions import LiveVersions
from models.errors import EngineError, ModelUnavailableError, OverloadedError, Refusal, StowageError
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Tensor,
    VersionId,
)

Result = TypeVar("Result")

logger = logging.getLogger("ray.serve")

# A replica answers a refusal with the error itself; what it raises is its own failure.
Stream = DeploymentResponseGenerator[GenerationChunk | Refusal]


class ServeClients:
    """Clients over Serve handles, kept: resolving and configuring a handle is not free.

    The models of a pool share its handle, so that they share what it knows of its replicas' load.
    """

    def __init__(self) -> None:
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._clients: dict[tuple[VersionId, str | None], ServeClient] = {}

    async def client(self, version: VersionId, pool: str | None = None) -> ServeClient:
        known = self._clients.get((version, pool))
        if known is None:
            handle = await self._handle(pool or str(version), version)
            known = ServeClient(version, handle, is_pooled=pool is not None)
            self._clients[version, pool] = known
        return known

    async def wake(self, version: VersionId, pool: str | None = None) -> None:
        """Return when a replica answers. A call that waits is what makes Serve start one of a version that sleeps.

        ModelUnavailableError or EngineError when that replica ends first.
        """
        await (await self.client(version, pool)).wake()

    def follow(self, live: LiveVersions) -> None:
        """Forget the versions that are gone or have moved, and the applications that had no others."""
        for version, pool in list(self._clients):
            state = live.get(version)
            if state is None or state.pool != pool:
                del self._clients[version, pool]
        used = {pool or str(version) for version, pool in self._clients}
        for application in self._handles.keys() - used:
            del self._handles[application]

    async def _handle(self, application: str, version: VersionId) -> DeploymentHandle[Any]:
        known = self._handles.get(application)
        if known is None:
            try:
                known = await asyncio.to_thread(_app_handle, application)
            except (RayError, RayServeException) as error:
                raise ModelUnavailableError(f"model {version} cannot be reached: {error}") from error
            known = self._handles.setdefault(application, known)
        return known


def _app_handle(application: str) -> DeploymentHandle[Any]:
    """While an application is built anew, and where its builder has refused, Serve knows only what runs of it."""
    try:
        return serve.get_app_handle(application)
    except RayServeException:
        running = running_deployment(application)
        if running is None:
            raise
        return serve.get_deployment_handle(running, application)


@dataclass(frozen=True, slots=True)
class _Methods:
    generate: DeploymentHandle[Any]
    embed: DeploymentHandle[Any]
    infer: DeploymentHandle[Any]
    stats: DeploymentHandle[Any]


class ServeClient:
    """One model's handle, with one configured handle for each method. A pool is told which model is asked."""

    def __init__(self, version: VersionId, handle: DeploymentHandle[Any], *, is_pooled: bool = False) -> None:
        self._version = version
        # Not cloudpickle, which takes twice the time: the classes of requests and answers can be imported.
        handle = handle.options(request_serialization="pickle", response_serialization="pickle")
        if is_pooled:
            handle = handle.options(multiplexed_model_id=str(version))
        self._methods = _Methods(
            generate=handle.options(method_name="generate", stream=True),
            embed=handle.options(method_name="embed"),
            infer=handle.options(method_name="infer"),
            stats=handle.options(method_name="stats"),
        )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        response = cast("Stream", self._methods.generate.remote(request))
        ended = False
        try:
            async for chunk in response:
                if isinstance(chunk, Refusal):
                    ended = True
                    raise chunk  # noqa: TRY301  it passes
                ended = chunk.finish_reason is not None
                yield chunk
        except Exception as error:  # noqa: BLE001  whatever the replica raised
            self._fail(error)
        finally:
            if not ended:
                response.cancel()  # type: ignore[no-untyped-call]

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        response = self._methods.embed.remote(request)
        return await self._call(cast("DeploymentResponse[EmbeddingResult | Refusal]", response))

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        response = self._methods.infer.remote(request)
        return await self._call(cast("DeploymentResponse[tuple[Tensor, ...] | Refusal]", response))

    async def wake(self) -> None:
        """Return when a replica answers; it is asked for what costs it nothing."""
        await self._call(cast("DeploymentResponse[object]", self._methods.stats.remote()))

    async def _call(self, response: DeploymentResponse[Result | Refusal]) -> Result:
        try:
            result = await response
        except asyncio.CancelledError:
            response.cancel()  # type: ignore[no-untyped-call]
            raise
        except Exception as error:  # noqa: BLE001  whatever the replica raised
            self._fail(error)
        if isinstance(result, Refusal):
            raise result
        return result

    def _fail(self, error: Exception) -> NoReturn:
        """Raise it in our words. What a replica raised comes as it is over gRPC, and wrapped over Ray's actors."""
        if isinstance(error, RayTaskError):
            raise self._of_replica(error.cause) from error
        if isinstance(error, StowageError):
            raise error
        if isinstance(error, RayError | RayServeException | AioRpcError):
            raise self._of_ray(error) from error
        raise self._of_replica(error) from error

    def _of_replica(self, error: Exception) -> StowageError:
        """What it raised on purpose, or that it failed: how is for the log, not for clients."""
        if isinstance(error, StowageError):
            return error
        logger.error("A replica of %s failed.", self._version, exc_info=error)
        return EngineError(f"model {self._version} failed", remedy="the server's log has the details")

    def _of_ray(self, error: RayError | RayServeException | AioRpcError) -> ModelUnavailableError:
        if isinstance(error, AioRpcError):
            logger.warning("The connection to a replica of %s failed.", self._version, exc_info=error)
            return ModelUnavailableError(
                f"the connection to {self._version} failed: {error.code().name}", is_lost=True
            )
        if isinstance(error, BackPressureError):
            return OverloadedError(f"model {self._version} has {error.args[0]} requests waiting", retry_after_s=1)
        if isinstance(error, TaskCancelledError):
            return ModelUnavailableError(f"the call to {self._version} was cancelled: its replica is stopping")
        if isinstance(error, RayActorError):
            return ModelUnavailableError(f"a replica of {self._version} died: {error}", is_lost=True)
        return ModelUnavailableError(f"model {self._version} cannot be called: {_words(error)}")


def _words(error: Exception) -> str:
    """``str`` of two of Serve's errors gives only their arguments."""
    if isinstance(error, DeploymentUnavailableError | ReplicaUnavailableError):
        return error.message
    return str(error)
