from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from deployments.api.oip.wire import JSON_LENGTH_HEADER, read_infer
from models.errors import InvalidRequestError

X = {"name": "x", "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": 2}}
Y = {"name": "y", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}


def body(*inputs: object, binary: bytes = b"", **fields: object) -> tuple[Headers, bytes]:
    json_part = json.dumps({"inputs": inputs, **fields}).encode()
    return Headers({JSON_LENGTH_HEADER: str(len(json_part))}), json_part + binary


def test_binary_tensors_lie_in_the_order_of_the_inputs() -> None:
    _, (x, y) = read_infer(*body(X, Y, binary=b"\7\10\1\0\0\0a"))
    assert (x.data.tolist(), y.data.tolist()) == ([7, 8], [b"a"])


def test_binary_and_json_may_be_mixed() -> None:
    flat = {"name": "z", "datatype": "INT8", "shape": [1], "data": [-1]}
    _, tensors = read_infer(*body(flat, X, binary=b"\1\2"))
    assert [tensor.data.tolist() for tensor in tensors] == [[-1], [1, 2]]


@pytest.mark.parametrize(
    ("inputs", "binary", "said"),
    [
        ([X, Y], b"\1\2\1\0", "tensor 'y': binary_data_size is 5, but the body has only 2 bytes left"),
        ([X], b"\1\2\3", "3 bytes of binary data, its tensors 2"),
        ([{**X, "data": [1, 2]}], b"\1\2", "tensor 'x' needs either data or"),
        ([{"name": "x", "datatype": "UINT8", "shape": [2]}], b"", "tensor 'x' needs either data or"),
        ([X, X], b"\1\2\1\2", "inputs: 'x' is there 2 times"),
        ([{**X, "shape": [-1]}], b"", "greater than or equal to 0"),
        ([{**X, "shape": [1] * 33}], b"", "at most 32"),
        ([{**X, "parameters": {"shared_memory_region": "r"}}], b"", "shared_memory_region"),
        ([], b"", "at least 1"),
    ],
)
def test_what_does_not_fit_is_named(inputs: list[object], binary: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        read_infer(*body(*inputs, binary=binary))


@pytest.mark.parametrize("length", ["-1", "0", "x", "1e3", "99999", "9" * 5000, "²", ""])
def test_a_json_length_that_cannot_be(length: str) -> None:
    _, content = body(X)
    with pytest.raises(InvalidRequestError, match=JSON_LENGTH_HEADER):
        read_infer(Headers(raw=[(JSON_LENGTH_HEADER.encode(), length.encode("latin-1"))]), content)


@given(st.binary(max_size=200), st.none() | st.text(max_size=4) | st.integers(-3, 300).map(str))
def test_any_bytes_are_read_or_refused(content: bytes, length: str | None) -> None:
    raw = [] if length is None else [(JSON_LENGTH_HEADER.encode(), length.encode("latin-1", "replace"))]
    with pytest.raises(InvalidRequestError):
        read_infer(Headers(raw=raw), content)


@given(
    st.sampled_from(["UINT8", "FP32", "BYTES", "BOOL"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 40),
    st.binary(max_size=40),
)
def test_any_binary_part_is_read_or_refused(datatype: str, shape: list[int], size: int, binary: bytes) -> None:
    described = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    with contextlib.suppress(InvalidRequestError):
        _, (tensor,) = read_infer(*body(described, binary=binary))
        assert tensor.data.shape == tuple(shape)
        assert size == len(binary)
