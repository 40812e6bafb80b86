"""What the tests send."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc.aio as triton

from deployments.grpc import inference_pb2 as pb

MAX_MESSAGE_BYTES = 8 * 1024 * 1024


def text_input(text: str | bytes) -> triton.InferInput:
    tensor = triton.InferInput("text_input", [1], "BYTES")
    content = text.encode() if isinstance(text, str) else text
    tensor.set_data_from_numpy(np.array([content], dtype=np.object_))
    return tensor


def float_input(name: str, rows: list[list[float]]) -> triton.InferInput:
    data = np.array(rows, np.float32)
    tensor = triton.InferInput(name, list(data.shape), "FP32")
    tensor.set_data_from_numpy(data)
    return tensor


def numbers() -> list[triton.InferInput]:
    """For ``adder``: the sum is [[11, 22]]."""
    return [float_input("a", [[1, 2]]), float_input("b", [[10, 20]])]


def typed_tensor(
    name: str, datatype: str, shape: list[int], **contents: object
) -> pb.ModelInferRequest.InferInputTensor:
    filled = pb.InferTensorContents(**contents)  # type: ignore[arg-type]  # the fields are the test's data
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=filled)
