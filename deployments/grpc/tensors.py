"""Tensors as the protocol's messages carry them: all of a request's as bytes, or each in its typed field.

Answers are always bytes, as Triton's are: they are smaller, and some datatypes have no typed field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from deployments.grpc.inference_pb2 import ModelInferRequest, ModelInferResponse
from deployments.grpc.parameters import InputParameters, OutputParameters, read_parameters
from deployments.oip.tensors import from_binary, from_values, to_binary
from models.errors import InvalidRequestError, UnsupportedOptionError
from models.types import InferRequest, Tensor, VersionId

InputTensor = ModelInferRequest.InferInputTensor

_FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_request(request: ModelInferRequest) -> InferRequest:
    """The request's tensors, and the names of those wanted back; InvalidRequestError names the tensor at fault."""
    outputs = tuple(output.name for output in request.outputs)
    _check_unique("inputs", (tensor.name for tensor in request.inputs))
    _check_unique("outputs", outputs)
    for tensor in request.inputs:
        read_parameters(InputParameters, tensor.parameters)
    for output in request.outputs:
        read_parameters(OutputParameters, output.parameters)
    return InferRequest(tuple(_read_tensors(request)), outputs)


def write_response(request_id: str, version: VersionId, tensors: Sequence[Tensor]) -> ModelInferResponse:
    """A response with these tensors. ``request_id`` is the one in the request, which may be empty."""
    response = ModelInferResponse(model_name=version.name, model_version=version.version, id=request_id)
    for tensor in tensors:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.data.shape)
        response.raw_output_contents.append(to_binary(tensor))
    return response


def _read_tensors(request: ModelInferRequest) -> Iterator[Tensor]:
    raw, num_inputs = request.raw_input_contents, len(request.inputs)
    if not num_inputs:
        raise InvalidRequestError("the request has no inputs", param="inputs")
    if raw and len(raw) != num_inputs:
        raise InvalidRequestError(
            f"raw_input_contents has {len(raw)} entries for {num_inputs} inputs", param="raw_input_contents"
        )
    for index, tensor in enumerate(request.inputs):
        _check_shape(tensor)
        yield _read_raw(tensor, raw[index]) if raw else _read_typed(tensor)


def _read_raw(tensor: InputTensor, raw: bytes) -> Tensor:
    if tensor.contents.ListFields():
        raise _invalid(tensor, "has contents although the request has raw_input_contents")
    return from_binary(tensor.name, tensor.datatype, tensor.shape, raw)


def _read_typed(tensor: InputTensor) -> Tensor:
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise UnsupportedOptionError(
            f"tensor {tensor.name!r}: datatype {tensor.datatype!r} has no typed contents",
            remedy=f"send raw_input_contents, or one of {', '.join(_FIELDS)}",
            param=tensor.name,
        )
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if filled not in ([], [field]):
        raise _invalid(tensor, f"{tensor.datatype} data belongs into {field} alone, not into {', '.join(filled)}")
    return from_values(tensor.name, tensor.datatype, tensor.shape, list(getattr(tensor.contents, field)))


def _check_shape(tensor: InputTensor) -> None:
    if any(length < 0 for length in tensor.shape):
        raise _invalid(tensor, f"shape {list(tensor.shape)} has a negative dimension")


def _check_unique(field: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidRequestError(f"{field}: {name!r} is there {count} times", param=field)


def _invalid(tensor: InputTensor, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"tensor {tensor.name!r}: {reason}", param=tensor.name)
