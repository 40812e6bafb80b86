"""Brings RPCs through the door to what answers them, and their errors back: none is raised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from deployments.dataplane.call import Call
from deployments.grpc.errors import report
from deployments.grpc.inference import FINAL
from deployments.grpc.inference_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from deployments.grpc.reception import Reception
from deployments.grpc.rpc import Rpc, RpcContext
from models.errors import AuthenticationError, DeadlineExceededError

Request = TypeVar("Request")
Response = TypeVar("Response")
Parts = Callable[[ModelInferRequest, Call], AsyncGenerator[ModelInferResponse]]

_STREAM = "ModelStreamInfer"


class Attendant:
    """Serve loses the trailing metadata of an RPC that raises, and writes a traceback for each: so none does."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def answer(
        self,
        context: RpcContext,
        request: Request,
        work: Callable[[Request, Call], Awaitable[Response]],
        empty: Callable[[], Response],
    ) -> Response:
        """What ``work`` gives. An error becomes the RPC's status; ``empty`` makes the message to go with it."""
        rpc = Rpc(context)
        try:
            with self._reception.attend(rpc, _operation(request)) as call:
                return await work(request, call)
        except Exception as error:  # noqa: BLE001  it is the answer
            rpc.fail(report(error, rpc.request_id))
            return empty()

    async def answer_each(
        self, context: RpcContext, requests: AsyncIterator[ModelInferRequest], parts: Parts
    ) -> AsyncGenerator[ModelStreamInferResponse]:
        """The parts of each request, one request after the other.

        The error of one becomes its last response, and ends the stream only if it is the key that is wrong. A
        stream that may send no requests ends before it has sent one, and so does one that sends none for too long.
        """
        rpc = Rpc(context)
        try:
            patience_s = self._reception.admit(rpc, _STREAM)
            while (request := await _next(requests, patience_s)) is not None:
                async with aclosing(self._responses(rpc, request, parts)) as responses:
                    async for response in responses:
                        yield response
                if rpc.failed:
                    return
        except Exception as error:  # noqa: BLE001  as above
            failure = report(error, rpc.request_id)
            rpc.fail(failure)
            yield _last_response(ModelInferRequest(), failure.message)

    async def _responses(
        self, rpc: Rpc, request: ModelInferRequest, parts: Parts
    ) -> AsyncGenerator[ModelStreamInferResponse]:
        """The last one waits until the call has left: a client that has a whole answer finds it in the books."""
        try:
            with self._reception.attend(rpc, _STREAM, streamed=True) as call:
                last = ModelInferResponse()
                async with aclosing(parts(request, call)) as responses:
                    async for response in responses:
                        rpc.tell(call.tally.rate_limits)
                        if response.parameters[FINAL].bool_param:
                            last = response
                        else:
                            yield ModelStreamInferResponse(infer_response=response)
            yield ModelStreamInferResponse(infer_response=last)
        except Exception as error:  # noqa: BLE001  as above
            failure = report(error, rpc.request_id)
            rpc.tell(failure.metadata)
            if isinstance(error, AuthenticationError):
                rpc.fail(failure)
            yield _last_response(request, failure.message)


async def _next(requests: AsyncIterator[ModelInferRequest], patience_s: float) -> ModelInferRequest | None:
    """None at the end; DeadlineExceededError when nothing comes for so long."""
    try:
        async with asyncio.timeout(patience_s):
            return await anext(requests, None)
    except TimeoutError as error:
        raise DeadlineExceededError(
            f"no request came on the stream for {patience_s:g} s",
            remedy="open another one, or allow more seconds with x-request-timeout",
        ) from error


def _operation(request: object) -> str:
    """The RPC's name, from the name of its request's message."""
    return type(request).__name__.removesuffix("Request")


def _last_response(request: ModelInferRequest, error_message: str) -> ModelStreamInferResponse:
    """With the request's id, which tells what it answers from the rest of the stream."""
    response = ModelInferResponse(id=request.id, model_name=request.model_name)
    response.parameters[FINAL].bool_param = True
    return ModelStreamInferResponse(error_message=error_message, infer_response=response)
