from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.utils import np_to_triton_dtype

from deployments.grpc import inference_pb2 as pb
from deployments.grpc.tensors import read_request, write_response
from models.types import Tensor, VersionId

FIELDS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "uint16": "uint_contents",
    "uint32": "uint_contents",
    "uint64": "uint64_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
}
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st.sampled_from(sorted(FIELDS)).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES))
BYTES = hnp.arrays(np.object_, SHAPES, elements=st.binary(max_size=9))


def read(request: pb.ModelInferRequest) -> npt.NDArray[np.generic]:
    [tensor] = read_request(request).inputs
    return tensor.data


def described(array: npt.NDArray[np.generic]) -> pb.ModelInferRequest.InferInputTensor:
    datatype = str(np_to_triton_dtype(array.dtype))
    return pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=array.shape)


@given(ARRAYS)
def test_typed_contents_are_read_as_they_are(array: npt.NDArray[np.generic]) -> None:
    tensor = described(array)
    getattr(tensor.contents, FIELDS[str(array.dtype)]).extend(array.ravel().tolist())
    got = read(pb.ModelInferRequest(inputs=[tensor]))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@given(BYTES)
def test_typed_bytes_are_read_as_they_are(array: npt.NDArray[np.object_]) -> None:
    tensor = described(array)
    tensor.contents.bytes_contents.extend(array.ravel().tolist())
    got = read(pb.ModelInferRequest(inputs=[tensor]))
    assert (got.shape, got.tolist()) == (array.shape, array.tolist())


@given(st.one_of(ARRAYS, BYTES, hnp.arrays(np.float16, SHAPES)))
def test_what_is_written_raw_can_be_read_raw(array: npt.NDArray[np.generic]) -> None:
    tensor = described(array)
    response = write_response("7", VersionId("m", "1"), [Tensor("x", tensor.datatype, array)])
    [output] = response.outputs
    assert (output.name, output.datatype, tuple(output.shape)) == ("x", tensor.datatype, array.shape)
    got = read(pb.ModelInferRequest(inputs=[tensor], raw_input_contents=response.raw_output_contents))
    np.testing.assert_array_equal(got, array)
