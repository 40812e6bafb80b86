from __future__ import annotations

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.unit.deployments.api.fake import FakeDataPlane

A = np.array([[1, 2], [3, 4]], np.float32)
B = np.array([[10, 20], [30, 40]], np.float32)


def given(name: str, array: npt.NDArray[np.generic], binary: bool = True) -> InferInput:
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return tensor.set_data_from_numpy(array, binary_data=binary)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_adding(
    client: InferenceServerClient, binary_in: bool, binary_out: bool | None, compression: str | None
) -> None:
    outputs = None if binary_out is None else [InferRequestedOutput("sum", binary_data=binary_out)]
    result = client.infer(
        "adder",
        [given("a", A, binary_in), given("b", B, binary_in)],
        outputs=outputs,
        request_id="42",
        request_compression_algorithm=compression,
    )
    assert np.array_equal(result.as_numpy("sum"), A + B)
    reply = result.get_response()
    assert (reply["model_name"], reply["model_version"], reply["id"]) == ("adder", "1", "42")
    assert ("data" in result.get_output("sum")) == (binary_out is False)


@pytest.mark.parametrize(
    "array",
    [
        np.array([b"", b"\0\xff", b"abc"], np.object_),
        np.array([[1.5], [np.inf]], np.float16),
        np.array([True, False]),
        np.array([-(2**63), 2**63 - 1]),
        np.zeros((0, 3), np.uint8),
    ],
)
def test_tensors_come_back_as_they_went(client: InferenceServerClient, array: npt.NDArray[np.generic]) -> None:
    result = client.infer("adder", [given("x", array)], model_version="1")
    assert np.array_equal(result.as_numpy("x"), array)


def test_text_in_json_both_ways(client: InferenceServerClient) -> None:
    array = np.array([["hé", "w"]], np.object_)
    outputs = [InferRequestedOutput("x", binary_data=False)]
    result = client.infer("adder@1", [given("x", array, False)], outputs=outputs)
    assert result.get_output("x")["data"] == ["hé", "w"]


def test_nested_data_and_only_the_outputs_asked_for(http: httpx.Client) -> None:
    inputs = [
        {"name": "x", "datatype": "INT32", "shape": [2, 1], "data": [[1], [2]]},
        {"name": "y", "datatype": "INT32", "shape": [1], "data": [3]},
    ]
    response = http.post("/v2/models/adder/infer", json={"inputs": inputs, "outputs": [{"name": "x"}]})
    assert response.json() == {
        "model_name": "adder",
        "model_version": "1",
        "outputs": [{"name": "x", "datatype": "INT32", "shape": [2, 1], "data": [1, 2]}],
    }


def test_the_clients_timeout_is_the_deadline_in_microseconds(
    client: InferenceServerClient, dataplane: FakeDataPlane
) -> None:
    client.infer("adder", [given("x", A)], timeout=1_500_000, priority=3)
    assert 1.0 < dataplane.timeouts[-1] <= 1.5
    client.infer("adder", [given("x", A)], timeout=10**12)
    assert 19 < dataplane.timeouts[-1] <= 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model_name": "nobody"}, "[404]"),
        ({"model_name": "echo"}, "[400] echo@2 does not infer"),
        ({"model_name": "broken"}, "[503] broken@1 is down"),
        ({"model_version": "9"}, "[404]"),
        ({"model_name": "adder@1", "model_version": "2"}, "contradicts the version '2'"),
        ({"sequence_id": 7}, "parameters.sequence_id: 7 is not supported"),
        ({"parameters": {"colour": "red"}}, "unknown field parameters.colour"),
        ({"parameters": {"binary_data_outputs": True}}, "did you mean binary_data_output?"),
        ({"outputs": [InferRequestedOutput("z")]}, "no output 'z'"),
        ({"outputs": [InferRequestedOutput("x", class_count=2)]}, "outputs[0].parameters.classification"),
    ],
)
def test_what_is_wrong_is_named(client: InferenceServerClient, options: dict[str, object], said: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(**{"model_name": "adder", "inputs": [given("x", A)], **options})
    assert said in str(caught.value)
