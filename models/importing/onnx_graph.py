"""The sizes of an ONNX graph's weights, read from its protobuf without building the graph.

Field numbers are those of ``onnx.proto``: ModelProto.graph 7; GraphProto.initializer 5; TensorProto.dims 1 and
data_type 2. The wire format is protobuf's: a key (field number and wire type), then the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import BinaryIO

from models.errors import SourceError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _INITIALIZER, _DIMS, _DATA_TYPE = 7, 5, 1, 2

# TensorProto.DataType: the name that torch uses and the bits of one element.
_TYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    16: ("bfloat16", 16),
    17: ("float8_e4m3fn", 8),
    19: ("float8_e5m2", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
}


def initializers(path: Path) -> list[tuple[str, int, int]]:
    """(type, elements, bytes) of each stored weight, also of those in external data files. SourceError."""
    whole = range(path.stat().st_size)
    try:
        with path.open("rb") as file:
            return [
                _weight(file, tensor)
                for graph in _messages(file, whole, _GRAPH)
                for tensor in _messages(file, graph, _INITIALIZER)
            ]
    except ValueError as error:
        raise SourceError(
            f"{path.name} is not an ONNX graph that can be read: {error}",
            remedy="get the file from its origin, or export it again",
        ) from error


def _weight(file: BinaryIO, span: range) -> tuple[str, int, int]:
    dims: list[int] = []
    data_type = 0
    for number, value in _fields(file, span):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _varints(file, value)
        elif number == _DATA_TYPE and isinstance(value, int):
            data_type = value
    if data_type not in _TYPES:
        raise ValueError(f"it holds a tensor of data type {data_type}")
    dtype, bits = _TYPES[data_type]
    return dtype, prod(dims), (prod(dims) * bits + 7) // 8


def _messages(file: BinaryIO, span: range, wanted: int) -> Iterator[range]:
    return (value for number, value in _fields(file, span) if number == wanted and isinstance(value, range))


def _fields(file: BinaryIO, span: range) -> Iterator[tuple[int, int | range]]:
    """Field numbers with an integer, or with the span of bytes where a message, text or number lies."""
    position = span.start
    while position < span.stop:
        file.seek(position)
        key = _varint(file)
        value = _value(file, key & 7)
        position = value.stop if isinstance(value, range) else file.tell()
        if position > span.stop:
            raise ValueError("a part of it is longer than the whole")
        yield key >> 3, value


def _value(file: BinaryIO, wire_type: int) -> int | range:
    if wire_type == _VARINT:
        return _varint(file)
    sizes = {_FIXED32: 4, _FIXED64: 8}
    if wire_type == _BYTES:
        num_bytes = _varint(file)
    elif wire_type in sizes:
        num_bytes = sizes[wire_type]
    else:
        raise ValueError(f"{wire_type} is not a wire type")
    return range(file.tell(), file.tell() + num_bytes)


def _varints(file: BinaryIO, span: range) -> list[int]:
    file.seek(span.start)
    values = []
    while file.tell() < span.stop:
        values.append(_varint(file))
    return values


def _varint(file: BinaryIO) -> int:
    """Seven bits a byte, least significant first; the top bit says that more follow."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it ends early or holds a number of more than 64 bits")
