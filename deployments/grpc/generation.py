"""Text generation as tensors: ``text_input`` in, ``text_output`` out, whole or in several responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import numpy as np

from deployments.api.http.generation import Order, Piece, collect, running
from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from deployments.grpc.inference_pb2 import ModelInferRequest, ModelInferResponse
from deployments.grpc.parameters import GenerationParameters, read_parameters
from deployments.grpc.tensors import read_request, write_response
from deployments.oip.target import target_of
from models.errors import InvalidRequestError
from models.types import GenerationChunk, Tensor, TensorSpec, VersionId

TEXT_INPUT = TensorSpec("text_input", "BYTES", (1,))
TEXT_OUTPUT = TensorSpec("text_output", "BYTES", (1,))


class Generations:
    """Answers requests that have a ``text_input``."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def whole(self, request: ModelInferRequest, call: Call) -> ModelInferResponse:
        """The whole continuation."""
        order, call = _read(request, call)
        result = (await collect(self._dataplane, order, call))[0]
        return _response(request, result.version, result.text, result.last)

    async def parts(self, request: ModelInferRequest, call: Call) -> AsyncGenerator[ModelInferResponse]:
        """The continuation as it comes. Closing the generator cancels the work."""
        order, call = _read(request, call)
        async with running(self._dataplane, order, call) as batches:
            while pieces := await _next(batches, call):
                last = pieces[-1]
                text = "".join(piece.chunk.text for piece in pieces)
                if text or last.chunk.finish_reason:
                    yield _response(request, last.version, text, last.chunk)


def asks_for_generation(request: ModelInferRequest) -> bool:
    """Whether it is a generation: which model it is for does not tell until a version has been chosen."""
    return any(tensor.name == TEXT_INPUT.name for tensor in request.inputs)


async def _next(batches: AsyncIterator[list[Piece]], call: Call) -> Sequence[Piece]:
    """The next pieces, none at the end. The limit holds here alone: who reads the responses runs in this task."""
    async with call.limit():
        async for pieces in batches:
            return pieces
    return ()


def _read(request: ModelInferRequest, call: Call) -> tuple[Order, Call]:
    wanted = read_request(request)
    others = [tensor.name for tensor in wanted.inputs if tensor.name != TEXT_INPUT.name]
    if others:
        raise InvalidRequestError(
            f"input {others[0]!r} is none of a generation's",
            remedy=f"send {TEXT_INPUT.name} alone, and how to choose tokens in the request's parameters",
            param=others[0],
        )
    for name in wanted.outputs:
        if name != TEXT_OUTPUT.name:
            raise InvalidRequestError(f"no output {name!r}, only {TEXT_OUTPUT.name}", param="outputs")
    parameters = read_parameters(GenerationParameters, request.parameters)
    model = target_of(request.model_name, request.model_version)
    order = Order(model, (_text(wanted.inputs[0]),), parameters.sampling(parameters.max_tokens))
    return order, parameters.shorten(call)


def _text(tensor: Tensor) -> str:
    name = tensor.name
    if tensor.datatype != TEXT_INPUT.datatype or tensor.data.size != 1:
        raise InvalidRequestError(
            f"tensor {name!r} must be one BYTES element, not {tensor.datatype} {list(tensor.data.shape)}",
            param=name,
        )
    content: bytes = tensor.data.item()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"tensor {name!r} is not UTF-8: {error}", param=name) from error


def _response(
    request: ModelInferRequest, version: VersionId, text: str, chunk: GenerationChunk
) -> ModelInferResponse:
    data = np.array([text.encode()], dtype=np.object_)
    response = write_response(request.id, version, [Tensor(TEXT_OUTPUT.name, TEXT_OUTPUT.datatype, data)])
    if chunk.finish_reason is not None and chunk.usage is not None:
        response.parameters["finish_reason"].string_param = chunk.finish_reason
        response.parameters["prompt_tokens"].int64_param = chunk.usage.prompt_tokens
        response.parameters["completion_tokens"].int64_param = chunk.usage.completion_tokens
    return response
