from __future__ import annotations

import contextlib
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.utils import deserialize_bytes_tensor, np_to_triton_dtype, serialize_byte_tensor

from deployments.oip.tensors import from_binary, from_json, to_binary, to_json
from models.errors import InvalidRequestError
from models.types import Tensor

NUMBERS = [np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
FLOATS = [np.float16, np.float32, np.float64]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
DATATYPES = ["BOOL", "INT8", "INT64", "UINT16", "FP16", "FP32", "FP64", "BYTES", "BF16", "COMPLEX"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)
NUMERIC_ARRAYS = st.sampled_from([*NUMBERS, *FLOATS]).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
JSON_ARRAYS = st.sampled_from([*NUMBERS, np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype, SHAPES, elements={"allow_nan": False, "allow_infinity": False} if dtype in FLOATS else None
    )
)
BYTES_ARRAYS = hnp.arrays(np.object_, SHAPES, elements=st.binary(max_size=9))
TEXT_ARRAYS = hnp.arrays(np.object_, SHAPES, elements=st.text(max_size=5).map(str.encode))


def named(array: npt.NDArray[np.generic]) -> Tensor:
    return Tensor("x", str(np_to_triton_dtype(array.dtype)), array)


def assert_same(left: Tensor, right: Tensor) -> None:
    assert (left.name, left.datatype, left.data.shape) == (right.name, right.datatype, right.data.shape)
    assert left.data.dtype == right.data.dtype
    assert left.data.tolist() == right.data.tolist() or left.data.tobytes() == right.data.tobytes()


@given(NUMERIC_ARRAYS | BYTES_ARRAYS)
def test_binary_round_trip(array: npt.NDArray[np.generic]) -> None:
    tensor = named(array)
    assert_same(from_binary("x", tensor.datatype, array.shape, to_binary(tensor)), tensor)


@given(JSON_ARRAYS | TEXT_ARRAYS)
def test_json_round_trip(array: npt.NDArray[np.generic]) -> None:
    tensor = named(array)
    wire = json.loads(json.dumps(to_json(tensor)))
    assert_same(from_json("x", tensor.datatype, array.shape, wire), tensor)


@given(JSON_ARRAYS)
def test_nested_json_is_the_same_as_flat(array: npt.NDArray[np.generic]) -> None:
    tensor = named(array.reshape(array.shape or (1,)))
    assert_same(from_json("x", tensor.datatype, tensor.data.shape, tensor.data.tolist()), tensor)


@given(BYTES_ARRAYS)
def test_bytes_are_written_as_triton_writes_them(array: npt.NDArray[np.generic]) -> None:
    ours = to_binary(named(array))
    theirs = serialize_byte_tensor(array)
    assert ours == (theirs.item() if array.size else b"")
    assert deserialize_bytes_tensor(ours).tolist() == array.ravel().tolist()


@given(
    st.sampled_from(DATATYPES), st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 4), max_size=4), JSON_VALUES
)
def test_any_json_is_read_or_refused(datatype: str, shape: list[int], data: object) -> None:
    with contextlib.suppress(InvalidRequestError):
        tensor = from_json("x", datatype, shape, data)
        assert tensor.data.shape == tuple(shape)


@given(
    st.sampled_from(DATATYPES),
    st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 3), max_size=4),
    st.binary(max_size=64),
)
def test_any_bytes_are_read_or_refused(datatype: str, shape: list[int], raw: bytes) -> None:
    with contextlib.suppress(InvalidRequestError):
        tensor = from_binary("x", datatype, shape, raw)
        assert to_binary(tensor) == raw


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "said"),
    [
        ("INT8", [1], [128], "INT8 cannot"),
        ("UINT8", [1], [-1], "UINT8 cannot"),
        ("INT64", [1], [2**63], "INT64 cannot"),
        ("FP32", [1], [1e39], "FP32 cannot"),
        ("INT32", [2], [1, True], "integers only"),
        ("INT32", [1], [1.0], "integers only"),
        ("BOOL", [1], [1], "booleans only"),
        ("FP32", [1], ["1"], "numbers only"),
        ("BYTES", [1], [1], "strings only"),
        ("FP32", [2, 2], [1, 2, 3], "a list of 4 values"),
        ("FP32", [2, 2], [[1, 2], [3]], "a list of 2 values"),
        ("FP32", [2, 2], [[1, 2], 3], "a list of 2 values"),
        ("FP32", [1], 1, "must be a list"),
        ("FP32", [0] + [1] * 70, [], "is not possible"),
        ("FP16", [1], [1], "binary form only"),
        ("BF16", [1], [1], "send FP32"),
        ("FLOAT", [1], [1], "known ones: BOOL"),
    ],
)
def test_json_that_does_not_fit_its_description(datatype: str, shape: list[int], data: object, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        from_json("x", datatype, shape, data)
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "said"),
    [
        ("FP32", [2], b"\0" * 7, "takes 8 bytes of binary data, not 7"),
        ("BOOL", [2], b"\0\2", "0 and 1 only"),
        ("BYTES", [1], b"\1\0\0", "inside the length of element 0"),
        ("BYTES", [2], b"\0\0\0\0\2\0\0\0a", "inside element 1"),
        ("BYTES", [2], b"\0\0\0\0", "the shape has 2 elements, the BYTES data 1"),
    ],
)
def test_binary_that_does_not_fit_its_description(datatype: str, shape: list[int], raw: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        from_binary("x", datatype, shape, raw)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.array([np.nan], np.float32), "NaN or infinity"),
        (np.array([np.inf]), "NaN or infinity"),
        (np.array([1], np.float16), "FP16"),
        (np.array([b"\xff"], np.object_), "not UTF-8"),
    ],
)
def test_what_json_cannot_carry(data: npt.NDArray[np.generic], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        to_json(named(data))
    assert caught.value.remedy == "use the binary tensor data extension"


def test_data_at_an_odd_place_in_the_body_is_aligned() -> None:
    tensor = from_binary("x", "FP64", [1], memoryview(b"\0" * 9)[1:])
    assert tensor.data.flags.aligned
