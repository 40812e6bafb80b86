"""Tensors as the Open Inference Protocol writes them: JSON lists, and the raw bytes of the binary extension.

Binary data is little-endian and row-major without padding. Each element of a BYTES tensor is its length in four
bytes, little-endian, and then its content.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from models.errors import InvalidRequestError, UnsupportedOptionError
from models.types import Tensor

_DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BYTES": np.dtype(np.object_),
}
# What JSON values each kind of dtype takes, and their name in messages.
_JSON_TYPES: Mapping[str, tuple[str, set[type]]] = {
    "b": ("booleans", {bool}),
    "i": ("integers", {int}),
    "u": ("integers", {int}),
    "f": ("numbers", {int, float}),
    "O": ("strings", {str}),
}
_BYTES_LENGTH = struct.Struct("<I")


def from_json(name: str, datatype: str, shape: Sequence[int], data: object) -> Tensor:
    """Read ``data`` as a JSON list, flat or nested as the shape; InvalidRequestError names the tensor."""
    dtype = _json_dtype(name, datatype)
    values = _flatten(name, shape, data)
    words, types = _JSON_TYPES[dtype.kind]
    if not {type(value) for value in values} <= types:
        raise _invalid(name, f"{datatype} data must be {words} only")
    if dtype.kind == "O":
        values = [str(value).encode() for value in values]
    return from_values(name, datatype, shape, values)


def from_values(name: str, datatype: str, shape: Sequence[int], values: Sequence[object]) -> Tensor:
    """Read the elements, row-major; those of BYTES are ``bytes``. InvalidRequestError names the tensor."""
    _dtype(name, datatype)
    return Tensor(name, datatype, _reshape(name, _array(name, datatype, values), shape))


def from_binary(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Tensor:
    """Read a copy of the bytes of one tensor; InvalidRequestError names the tensor."""
    dtype = _dtype(name, datatype)
    if dtype.kind == "O":
        return Tensor(name, datatype, _reshape(name, _split(name, math.prod(shape), bytes(raw)), shape))
    expected = math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        raise _invalid(name, f"{datatype} {list(shape)} takes {expected} bytes of binary data, not {len(raw)}")
    if dtype.kind == "b" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise _invalid(name, "BOOL data must be bytes of 0 and 1 only")
    return Tensor(name, datatype, _reshape(name, np.frombuffer(raw, dtype).copy(), shape))


def to_json(tensor: Tensor) -> list[object]:
    """The data as a flat JSON list, row-major; InvalidRequestError when JSON cannot carry it."""
    dtype = _json_dtype(tensor.name, tensor.datatype)
    if dtype.kind == "O":
        return [_utf8(tensor.name, value) for value in _elements(tensor)]
    if dtype.kind == "f" and not np.isfinite(tensor.data).all():
        raise _binary_only(tensor.name, "holds NaN or infinity, which JSON cannot carry")
    values: list[object] = tensor.data.ravel().tolist()
    return values


def to_binary(tensor: Tensor) -> bytes:
    """The data as the binary extension has it."""
    dtype = _dtype(tensor.name, tensor.datatype)
    if dtype.kind != "O":
        return tensor.data.astype(dtype, copy=False).tobytes()
    return b"".join(_BYTES_LENGTH.pack(len(value)) + value for value in _elements(tensor))


def _dtype(name: str, datatype: str) -> np.dtype[np.generic]:
    if datatype not in _DTYPES:
        why = "BF16 has no numpy type; send FP32" if datatype == "BF16" else f"known ones: {', '.join(_DTYPES)}"
        raise UnsupportedOptionError(
            f"tensor {name!r}: datatype {datatype!r} is not supported", remedy=why, param=name
        )
    return _DTYPES[datatype]


def _json_dtype(name: str, datatype: str) -> np.dtype[np.generic]:
    dtype = _dtype(name, datatype)
    if datatype == "FP16":
        raise _binary_only(name, "is FP16, which the protocol has in binary form only")
    return dtype


def _flatten(name: str, shape: Sequence[int], data: object) -> list[object]:
    if not isinstance(data, list):
        raise _invalid(name, "data must be a list")
    nested = bool(data) and isinstance(data[0], list)
    rows: list[object] = [data]
    for length in shape if nested else [math.prod(shape)]:
        rows = _unnest(name, rows, length)
    return rows


def _unnest(name: str, rows: Sequence[object], length: int) -> list[object]:
    lists = [row for row in rows if isinstance(row, list) and len(row) == length]
    if len(lists) != len(rows):
        raise _invalid(name, f"data does not have the given shape: a list of {length} values was expected")
    return list(chain.from_iterable(lists))


def _array(name: str, datatype: str, values: Sequence[object]) -> npt.NDArray[np.generic]:
    try:
        with np.errstate(over="raise"):
            return np.array(values, _DTYPES[datatype])
    except (OverflowError, FloatingPointError) as error:
        raise _invalid(name, f"data holds a number that {datatype} cannot: {error}") from error


def _reshape(name: str, array: npt.NDArray[np.generic], shape: Sequence[int]) -> npt.NDArray[np.generic]:
    try:
        return array.reshape(tuple(shape))
    except (ValueError, OverflowError) as error:
        raise _invalid(name, f"shape {list(shape)} is not possible: {error}") from error


def _split(name: str, count: int, raw: bytes) -> npt.NDArray[np.generic]:
    values: list[bytes] = []
    offset = 0
    while offset < len(raw):
        start = offset + _BYTES_LENGTH.size
        if start > len(raw):
            raise _invalid(name, f"BYTES data ends inside the length of element {len(values)}")
        offset = start + _BYTES_LENGTH.unpack_from(raw, start - _BYTES_LENGTH.size)[0]
        if offset > len(raw):
            raise _invalid(name, f"BYTES data ends inside element {len(values)}")
        values.append(raw[start:offset])
    if len(values) != count:
        raise _invalid(name, f"the shape has {count} elements, the BYTES data {len(values)}")
    return _array(name, "BYTES", list(values))


def _elements(tensor: Tensor) -> list[bytes]:
    elements: list[bytes] = tensor.data.ravel().tolist()
    return elements


def _utf8(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _binary_only(name, "holds bytes that are not UTF-8, which JSON cannot carry") from error


def _invalid(name: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"tensor {name!r}: {reason}", param=name)


def _binary_only(name: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"tensor {name!r} {reason}", remedy="use the binary tensor data extension", param=name
    )
