from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
import tritonclient.grpc.aio as triton

from deployments.dataplane.door import Door, OpenDoor
from deployments.grpc.inference_pb2 import (
    ServerLiveRequest,
    ServerLiveResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from deployments.grpc.reception import GrpcSettings
from deployments.grpc.service import add_inference_service
from deployments.grpc.servicer import GrpcService
from deployments.repository.service import Repository
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.grpc.inputs import MAX_MESSAGE_BYTES
from tests.unit.deployments.repository.fake import Rig

SETTINGS = GrpcSettings(request_timeout_s=20, max_request_timeout_s=60, max_message_bytes=MAX_MESSAGE_BYTES)


class Service(GrpcService):
    """gRPC's own server passes the context to every method, Serve only to those that take it."""

    async def ServerLive(self, _: ServerLiveRequest, _context: object = None) -> ServerLiveResponse:  # noqa: N802
        return await super().ServerLive(_)

    async def ServerReady(self, _: ServerReadyRequest, _context: object = None) -> ServerReadyResponse:  # noqa: N802
        return await super().ServerReady(_)


@asynccontextmanager
async def served(
    dataplane: FakeDataPlane, door: Door, settings: GrpcSettings, repository: Repository | None = None
) -> AsyncIterator[str]:
    """gRPC's own server on a loopback port."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])  # as Serve: no limit
    repository = repository or Rig().repository
    add_inference_service(Service(dataplane, door, settings, repository), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
def dataplane() -> FakeDataPlane:
    return FakeDataPlane()


@pytest.fixture
async def address(dataplane: FakeDataPlane) -> AsyncIterator[str]:
    async with served(dataplane, OpenDoor(), SETTINGS) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[triton.InferenceServerClient]:
    async with triton.InferenceServerClient(address) as opened:
        yield opened
