"""Inference: each request gets one response, or on a stream as many as its model gives."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from deployments.grpc.generation import Generations, asks_for_generation
from deployments.grpc.inference_pb2 import ModelInferRequest, ModelInferResponse
from deployments.grpc.parameters import CallParameters, read_parameters
from deployments.grpc.tensors import read_request, write_response
from deployments.oip.target import target_of
from models.errors import InvalidRequestError

FINAL = "triton_final_response"


class Inference:
    """Runs requests on the data plane, whatever their model does."""

    def __init__(self, dataplane: DataPlane, max_message_bytes: int) -> None:
        self._dataplane = dataplane
        self._generations = Generations(dataplane)
        self._max_message_bytes = max_message_bytes

    async def whole(self, request: ModelInferRequest, call: Call) -> ModelInferResponse:
        """The one response."""
        self._check_size(request)
        if asks_for_generation(request):
            return await self._generations.whole(request, call)
        return await self._infer(request, call)

    async def parts(self, request: ModelInferRequest, call: Call) -> AsyncGenerator[ModelInferResponse]:
        """The responses on a stream; the last one says that it is. Closing the generator cancels the work."""
        self._check_size(request)
        if not asks_for_generation(request):
            yield _marked(await self._infer(request, call), final=True)
            return
        async with aclosing(self._generations.parts(request, call)) as responses:
            async for response in responses:
                yield _marked(response, final="finish_reason" in response.parameters)

    async def _infer(self, request: ModelInferRequest, call: Call) -> ModelInferResponse:
        parameters = read_parameters(CallParameters, request.parameters)
        model = target_of(request.model_name, request.model_version)
        version, tensors = await self._dataplane.infer(model, read_request(request), parameters.shorten(call))
        return write_response(request.id, version, tensors)

    def _check_size(self, request: ModelInferRequest) -> None:
        num_bytes = request.ByteSize()
        if num_bytes > self._max_message_bytes:
            raise InvalidRequestError(
                f"the request of {num_bytes} bytes is larger than the limit of {self._max_message_bytes} bytes"
            )


def _marked(response: ModelInferResponse, *, final: bool) -> ModelInferResponse:
    response.parameters[FINAL].bool_param = final
    return response
