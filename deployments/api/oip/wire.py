"""Inference bodies: one JSON object, and after it the binary tensors in the order in which the JSON names them.

The header Inference-Header-Content-Length says where the JSON ends; without it there is nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired

import pydantic_core
from starlette.datastructures import Headers
from starlette.responses import Response
from typing_extensions import TypedDict

from deployments.api.http.parsing import parse
from deployments.api.oip.schemas import InferBody, InputTensor
from deployments.oip.tensors import from_binary, from_json, to_binary, to_json
from models.errors import InvalidRequestError
from models.types import Tensor, VersionId

JSON_LENGTH_HEADER = "inference-header-content-length"


class OutputTensor(TypedDict):
    """A tensor of a response; either ``data`` or the parameter ``binary_data_size`` is there."""

    name: str
    datatype: str
    shape: list[int]
    data: NotRequired[list[object]]
    parameters: NotRequired[dict[str, int]]


class InferReply(TypedDict):
    """The JSON part of a response."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[OutputTensor]


def read_infer(headers: Headers, content: bytes) -> tuple[InferBody, tuple[Tensor, ...]]:
    """The request and its tensors; InvalidRequestError names the field or tensor at fault."""
    json_part, binary = _split(headers, content)
    body = parse(InferBody, json_part)
    tensors: list[Tensor] = []
    offset = 0
    for described in body.inputs:
        size = described.parameters.binary_data_size or 0
        tensors.append(_read_tensor(described, binary[offset : offset + size]))
        offset += size
    if offset != len(binary):
        raise InvalidRequestError(f"the body has {len(binary)} bytes of binary data, its tensors {offset}")
    return body, tuple(tensors)


def write_infer(body: InferBody, version: VersionId, outputs: Sequence[Tensor]) -> Response:
    """The response, with each output where the request wants it."""
    reply = InferReply(model_name=version.name, model_version=version.version, outputs=[])
    if body.id is not None:
        reply["id"] = body.id
    binary: list[bytes] = []
    for tensor in outputs:
        described = OutputTensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.data.shape))
        if body.wants_binary(tensor.name):
            binary.append(to_binary(tensor))
            described["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            described["data"] = to_json(tensor)
        reply["outputs"].append(described)
    return _join(reply, binary)


def _split(headers: Headers, content: bytes) -> tuple[bytes, memoryview]:
    header = headers.get(JSON_LENGTH_HEADER)
    length = _json_length(header, len(content)) if header is not None else len(content)
    return content[:length], memoryview(content)[length:]


def _json_length(header: str, limit: int) -> int:
    length = int(header) if header.isascii() and header.isdecimal() and len(header) < 20 else None
    if length is None or not 0 < length <= limit:
        raise InvalidRequestError(
            f"{JSON_LENGTH_HEADER}: {header[:40]!r} is not a length from 1 to the body's {limit} bytes",
            param=JSON_LENGTH_HEADER,
        )
    return length


def _read_tensor(described: InputTensor, raw: memoryview) -> Tensor:
    size = described.parameters.binary_data_size
    if size is None:
        return from_json(described.name, described.datatype, described.shape, described.data)
    if len(raw) < size:
        raise InvalidRequestError(
            f"tensor {described.name!r}: binary_data_size is {size}, but the body has only {len(raw)} bytes left",
            param=described.name,
        )
    return from_binary(described.name, described.datatype, described.shape, raw)


def _join(reply: InferReply, binary: Sequence[bytes]) -> Response:
    json_part = pydantic_core.to_json(reply)
    if not binary:
        return Response(json_part, media_type="application/json")
    headers = {JSON_LENGTH_HEADER: str(len(json_part))}
    return Response(b"".join([json_part, *binary]), headers=headers, media_type="application/octet-stream")
