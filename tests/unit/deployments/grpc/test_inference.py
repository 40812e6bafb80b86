"""Against gRPC's own server, with Triton's client: what one answers is what the other understands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_sync
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from deployments.grpc import inference_pb2 as pb
from models.types import SamplingParams
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.grpc.inputs import MAX_MESSAGE_BYTES, float_input, numbers, text_input, typed_tensor

Request = dict[str, Any]
_METHOD = "/inference.GRPCInferenceService/ModelInfer"


def texts(result: triton_sync.InferResult) -> list[bytes]:
    return list(result.as_numpy("text_output"))


async def stream(
    client: triton.InferenceServerClient, requests: Sequence[Request], **options: object
) -> list[tuple[triton_sync.InferResult | None, InferenceServerException | None]]:
    async def sent() -> AsyncIterator[Request]:
        for request in requests:
            yield request

    return [pair async for pair in client.stream_infer(sent(), **options)]


async def raw_infer(address: str, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            _METHOD,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        response: pb.ModelInferResponse = await call(request)
        return response


async def test_raw_tensors(client: triton.InferenceServerClient) -> None:
    result = await client.infer("adder", numbers(), request_id="r-1", timeout=5_000_000, priority=3)
    np.testing.assert_array_equal(result.as_numpy("sum"), np.array([[11, 22]], np.float32))
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("adder", "1", "r-1")


async def test_typed_tensors(address: str) -> None:
    inputs = [
        typed_tensor("a", "FP32", [1, 2], fp32_contents=[1, 2]),
        typed_tensor("b", "FP32", [1, 2], fp32_contents=[10, 20]),
    ]
    response = await raw_infer(address, pb.ModelInferRequest(model_name="adder", inputs=inputs))
    assert np.frombuffer(response.raw_output_contents[0], np.float32).tolist() == [11, 22]


async def test_the_request_may_name_its_outputs(client: triton.InferenceServerClient) -> None:
    outputs = [triton.InferRequestedOutput("sum")]
    result = await client.infer("adder", numbers(), outputs=outputs)
    assert result.as_numpy("sum").shape == (1, 2)


async def test_a_message_above_the_size_that_grpc_allows_by_itself(client: triton.InferenceServerClient) -> None:
    rows = np.ones((300_000, 2)).tolist()
    result = await client.infer("adder", [float_input("a", rows), float_input("b", rows)])
    assert result.as_numpy("sum").sum() == 4 * 300_000


async def test_the_whole_of_a_generation(client: triton.InferenceServerClient, dataplane: FakeDataPlane) -> None:
    parameters = {"max_tokens": 2, "temperature": 0.5, "top_p": 1, "top_k": 3, "seed": 1, "stop": "x"}
    result = await client.infer("echo", [text_input("one two three")], request_id="7", parameters=parameters)
    assert texts(result) == [b"one two "]
    assert dataplane.generations[-1].sampling == SamplingParams(2, 0.5, 1.0, 3, ("x",), 1)
    response = result.get_response()
    assert (response.id, response.model_version) == ("7", "2")
    assert response.parameters["finish_reason"].string_param == "length"
    assert response.parameters["completion_tokens"].int64_param == 2


async def test_a_stream_gives_a_generation_in_parts(client: triton.InferenceServerClient) -> None:
    request = {"model_name": "echo", "model_version": "1", "inputs": [text_input("one two")], "request_id": "s"}
    results = [result for result, _ in await stream(client, [request]) if result]
    assert b"".join(text for result in results for text in texts(result)) == b"one two "
    responses = [result.get_response() for result in results]
    assert {(response.id, response.model_version) for response in responses} == {("s", "1")}
    finals = [response.parameters["triton_final_response"].bool_param for response in responses]
    assert finals == [False] * (len(finals) - 1) + [True]
    assert responses[-1].parameters["prompt_tokens"].int64_param == 2


async def test_requests_on_one_stream_are_answered_in_their_order(client: triton.InferenceServerClient) -> None:
    requests = [
        {"model_name": "echo", "inputs": [text_input("one")], "request_id": "1"},
        {"model_name": "absent", "inputs": [text_input("one")], "request_id": "2"},
        {"model_name": "adder", "inputs": numbers(), "request_id": "3"},
        {"model_name": "echo", "inputs": [text_input("one break")], "request_id": "4"},
    ]
    pairs = await stream(client, requests)
    ids = [result.get_response().id if result else str(error) for result, error in pairs]
    unique = [each for index, each in enumerate(ids) if ids.index(each) == index]
    assert [text.partition("'")[0] for text in unique] == ["1", "no model ", "3", "4", "the engine broke"]
    sums = [result.as_numpy("sum") for result, _ in pairs if result and result.get_response().id == "3"]
    np.testing.assert_array_equal(sums, [[[11, 22]]])


async def test_an_error_on_a_stream_says_what_it_answers(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )(iter([pb.ModelInferRequest(model_name="absent", id="9")]))
        responses = [response async for response in call]
    assert "no inputs" in responses[0].error_message
    assert responses[0].infer_response.id == "9"
    assert responses[0].infer_response.parameters["triton_final_response"].bool_param


async def test_the_blocking_client_streams_too(address: str) -> None:
    def talk() -> list[tuple[Any, Any]]:
        answers: list[tuple[Any, Any]] = []
        with triton_sync.InferenceServerClient(address) as client:
            client.start_stream(lambda result, error: answers.append((result, error)))
            tensor = triton_sync.InferInput("text_input", [1], "BYTES")
            tensor.set_data_from_numpy(np.array([b"one two three"], dtype=np.object_))
            client.async_stream_infer("echo", [tensor], enable_empty_final_response=True)
            client.stop_stream()
        return answers

    answers = await asyncio.to_thread(talk)
    assert [error for _, error in answers if error] == []
    assert b"".join(text for result, _ in answers for text in texts(result)) == b"one two three "


async def test_a_client_that_leaves_stops_its_stream(
    client: triton.InferenceServerClient, dataplane: FakeDataPlane
) -> None:
    async def sent() -> AsyncIterator[Request]:
        yield {"model_name": "echo", "inputs": [text_input("forever")]}

    answers = client.stream_infer(sent())
    await anext(aiter(answers))
    assert dataplane.num_active == 1
    answers.cancel()
    await until_idle(dataplane)


async def test_a_client_that_leaves_stops_its_call(
    client: triton.InferenceServerClient, dataplane: FakeDataPlane
) -> None:
    with pytest.raises(InferenceServerException) as raised:
        await client.infer("echo", [text_input("forever")], client_timeout=0.3)
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    await until_idle(dataplane)


async def test_a_deadline_ends_a_stream_with_an_error(
    client: triton.InferenceServerClient, dataplane: FakeDataPlane
) -> None:
    request = {"model_name": "echo", "inputs": [text_input("forever")]}
    pairs = await stream(client, [request], headers={"x-request-timeout": "0.2"})
    assert "time limit of 0.2 s" in str(pairs[-1][1])
    assert dataplane.num_active == 0
    pairs = await stream(client, [{**request, "timeout": 200_000}])
    assert "time limit of 0.2 s" in str(pairs[-1][1])


async def test_many_streams_at_once_leave_nothing_behind(
    client: triton.InferenceServerClient, dataplane: FakeDataPlane
) -> None:
    request = {"model_name": "echo", "inputs": [text_input("forever")]}
    async with AsyncExitStack() as stack:
        for index in range(10):
            answers = client.stream_infer(_once(request))
            stack.callback(answers.cancel)
            await anext(aiter(answers))
            assert dataplane.num_active == index + 1
    await until_idle(dataplane)


@pytest.mark.parametrize(
    ("model", "text", "parameters", "status", "said"),
    [
        ("echo", "a", {"max_token": 1}, "INVALID_ARGUMENT", "did you mean max_tokens"),
        ("echo", "a", {"temperature": 3}, "INVALID_ARGUMENT", "temperature"),
        ("echo", "a", {"temperature": float("nan")}, "INVALID_ARGUMENT", "temperature"),
        ("echo", "a", {"max_tokens": "3"}, "INVALID_ARGUMENT", "max_tokens"),
        ("echo", b"\xff", None, "INVALID_ARGUMENT", "not UTF-8"),
        ("echo", "a " * 65, None, "INVALID_ARGUMENT", "65 tokens exceed the 64"),
        ("adder", "a", None, "INVALID_ARGUMENT", "does not generate"),
        ("absent", "a", None, "NOT_FOUND", "there are adder"),
        ("broken", "a", None, "UNAVAILABLE", "its weights are damaged"),
        ("echo", "overload", None, "RESOURCE_EXHAUSTED", "the queue of echo@2 is full"),
        ("echo", "break", None, "INTERNAL", "the engine broke"),
        ("echo", "crash", None, "INTERNAL", "internal error; the server's log has the details of request r-9"),
    ],
)
async def test_errors_of_generations(
    client: triton.InferenceServerClient, model: str, text: str, parameters: Request | None, status: str, said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said) as raised:
        await client.infer(model, [text_input(text)], parameters=parameters, headers={"x-request-id": "r-9"})
    assert raised.value.status() == f"StatusCode.{status}"


@pytest.mark.parametrize(
    ("request_parts", "said"),
    [
        ({}, "has no inputs"),
        ({"inputs": [typed_tensor("a", "FP32", [2], fp32_contents=[1])]}, r"shape \[2\] is not possible"),
        ({"inputs": [typed_tensor("a", "FP32", [-1], fp32_contents=[1])]}, "negative dimension"),
        ({"inputs": [typed_tensor("a", "INT8", [1], int_contents=[300])]}, "'a'.*INT8 cannot"),
        ({"inputs": [typed_tensor("a", "FP32", [1], int_contents=[1])]}, "belongs into fp32_contents alone"),
        ({"inputs": [typed_tensor("a", "FP16", [1], fp32_contents=[1])]}, "FP16.*no typed contents"),
        ({"inputs": [typed_tensor("a", "BF16", [1])], "raw_input_contents": [b"12"]}, "BF16"),
        ({"inputs": [typed_tensor("a", "FP32", [1])] * 2}, "inputs: 'a' is there 2 times"),
        (
            {"inputs": [pb.ModelInferRequest.InferInputTensor(name="a")], "raw_input_contents": [b""] * 2},
            "2 entries",
        ),
        (
            {"inputs": [typed_tensor("a", "FP32", [1], fp32_contents=[1])], "raw_input_contents": [b"1234"]},
            "has contents although",
        ),
        (
            {"inputs": [typed_tensor("text_input", "BYTES", [2], bytes_contents=[b"a", b"b"])]},
            "must be one BYTES element",
        ),
        (
            {
                "inputs": [
                    typed_tensor("text_input", "BYTES", [1], bytes_contents=[b"a"]),
                    typed_tensor("b", "BYTES", [1], bytes_contents=[b"b"]),
                ]
            },
            "'b' is none of a generation's",
        ),
    ],
)
async def test_requests_that_are_wrong(address: str, request_parts: Request, said: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw_infer(address, pb.ModelInferRequest(model_name="adder", **request_parts))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.match(said)


async def test_shared_memory_and_classes_are_refused(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="classification"):
        await client.infer("adder", numbers(), outputs=[triton.InferRequestedOutput("sum", class_count=3)])
    tensor = triton.InferInput("a", [1, 2], "FP32")
    tensor.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="shared_memory"):
        await client.infer("adder", [tensor])
    with pytest.raises(InferenceServerException, match="sequence_id"):
        await client.infer("adder", numbers(), sequence_id=5)


async def test_a_request_above_the_limit_is_refused(client: triton.InferenceServerClient) -> None:
    rows = np.ones((MAX_MESSAGE_BYTES // 8, 2)).tolist()
    with pytest.raises(InferenceServerException, match=f"larger than the limit of {MAX_MESSAGE_BYTES}"):
        await client.infer("adder", [float_input("a", rows)])


async def until_idle(dataplane: FakeDataPlane) -> None:
    async with asyncio.timeout(5):
        while dataplane.num_active:  # noqa: ASYNC110  the fake has a count, no event
            await asyncio.sleep(0.01)


async def _once(request: Request) -> AsyncIterator[Request]:
    yield request
