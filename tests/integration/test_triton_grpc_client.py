"""tritonclient.grpc is the judge of the Open Inference Protocol over gRPC."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from openai import OpenAI
from tokenizers import Tokenizer
from tritonclient.utils import InferenceServerException

from deployments.grpc import inference_pb2 as pb
from tests.integration.cluster import Cluster
from tests.integration.test_cancellation import Load, stats, wait_for_running

__all__ = ["stats"]  # a fixture

TEXT = "Ships carry cargo."
PROMPT = "The capital of France is"
GREEDY = {"max_tokens": 8, "temperature": 0}
Answer = tuple[triton.InferResult | None, InferenceServerException | None]


@pytest.fixture
def server(cluster: Cluster) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(cluster.grpc_url) as opened:
        yield opened


@pytest.fixture
def answers(server: triton.InferenceServerClient) -> queue.Queue[Answer]:
    """An open stream's answers."""
    arrived: queue.Queue[Answer] = queue.Queue()
    server.start_stream(lambda result, error: arrived.put((result, error)))
    return arrived


def text(name: str, *values: str) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_))
    return tensor


def token_arrays(store_folder: Path, num_rows: int = 1) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    """The tensors of minilm@2's graph, each [num_rows, num_tokens]."""
    tokenizer = Tokenizer.from_file(str(store_folder / "minilm" / "2" / "tokenizer.json"))
    tokenizer.no_padding()
    encoding = tokenizer.encode(TEXT)
    rows = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    return {name: np.array([ids] * num_rows, dtype=np.int64) for name, ids in rows.items()}


def graph_inputs(
    server: triton.InferenceServerClient, arrays: dict[str, np.ndarray[Any, np.dtype[np.int64]]]
) -> list[triton.InferInput]:
    inputs = []
    for spec in server.get_model_metadata("minilm", "2").inputs:
        tensor = triton.InferInput(spec.name, list(arrays[spec.name].shape), "INT64")
        tensor.set_data_from_numpy(arrays[spec.name])
        inputs.append(tensor)
    return inputs


def until_final(answers: queue.Queue[Answer]) -> list[triton.InferResult]:
    results = []
    while True:
        result, error = answers.get(timeout=60)
        assert error is None, error
        assert result is not None
        results.append(result)
        if result.get_response().parameters["triton_final_response"].bool_param:
            return results


def joined(results: list[triton.InferResult]) -> str:
    return b"".join(value for result in results for value in result.as_numpy("text_output")).decode()


def test_health_and_metadata(server: triton.InferenceServerClient) -> None:
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.get_server_metadata().name == "stowage"
    assert server.is_model_ready("smollm2-135m", "1")
    metadata = server.get_model_metadata("smollm2-135m")
    assert (list(metadata.versions), metadata.platform) == (["1"], "transformers")
    assert [spec.name for spec in metadata.inputs] == ["text_input"]
    index = server.get_model_repository_index().models
    assert {(entry.name, entry.version, entry.state) for entry in index} >= {
        ("minilm", "1", "READY"),
        ("minilm", "2", "READY"),
        ("smollm2-135m", "1", "READY"),
    }


def test_raw_and_typed_tensors_agree(
    cluster: Cluster, server: triton.InferenceServerClient, store_folder: Path
) -> None:
    arrays = token_arrays(store_folder)
    inputs = graph_inputs(server, arrays)
    result = server.infer("minilm", inputs, model_version="2", request_id="r-1")
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("minilm", "2", "r-1")
    name = response.outputs[0].name
    request = pb.ModelInferRequest(model_name="minilm@2")
    for tensor in inputs:
        array = arrays[tensor.name()]
        request.inputs.add(name=tensor.name(), datatype="INT64", shape=array.shape).contents.int64_contents.extend(
            array.ravel().tolist()
        )
    with grpc.insecure_channel(cluster.grpc_url) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        typed: pb.ModelInferResponse = infer(request, timeout=60)
    np.testing.assert_allclose(
        np.frombuffer(typed.raw_output_contents[0], np.float32), result.as_numpy(name).ravel(), rtol=1e-6
    )


def test_text_embedding_as_tensors(server: triton.InferenceServerClient, client: OpenAI) -> None:
    vector = server.infer("minilm", [text("text", TEXT)], model_version="1").as_numpy("embedding")
    expected = client.embeddings.create(model="minilm@1", input=TEXT).data[0].embedding
    np.testing.assert_allclose(vector[0], expected, atol=1e-5)


def test_messages_above_4_mib_pass_both_ways(server: triton.InferenceServerClient) -> None:
    """5 MiB of text in, which is counted whole; and 3,000 vectors of 384 floats out: 4.4 MiB."""
    num_words = 5 * 1024 * 1024 // 6
    with pytest.raises(InferenceServerException, match=f"{num_words + 2} tokens"):
        server.infer("minilm", [text("text", "cargo " * num_words)], model_version="1")
    vectors = server.infer("minilm", [text("text", *["cargo"] * 3000)], model_version="1").as_numpy("embedding")
    assert vectors.shape == (3000, 384)
    assert vectors.nbytes > 4 * 1024 * 1024


def test_a_generation_whole_and_in_parts(
    server: triton.InferenceServerClient, answers: queue.Queue[Answer], client: OpenAI
) -> None:
    whole = server.infer("smollm2-135m", [text("text_input", PROMPT)], parameters=GREEDY)
    expected = client.completions.create(model="smollm2-135m", prompt=PROMPT, **GREEDY)  # type: ignore[call-overload]
    assert joined([whole]) == expected.choices[0].text
    server.async_stream_infer("smollm2-135m", [text("text_input", PROMPT)], request_id="s-1", parameters=GREEDY)
    parts = until_final(answers)
    assert joined(parts) == joined([whole])
    assert len(parts) > 1
    last = parts[-1].get_response()
    assert (last.id, last.parameters["finish_reason"].string_param) == ("s-1", "length")
    assert last.parameters["completion_tokens"].int64_param == expected.usage.completion_tokens


def test_requests_on_one_stream_are_answered_in_their_order(
    server: triton.InferenceServerClient, answers: queue.Queue[Answer]
) -> None:
    server.async_stream_infer("smollm2-135m", [text("text_input", PROMPT)], request_id="1", parameters=GREEDY)
    server.async_stream_infer("absent", [text("text_input", PROMPT)], request_id="2")
    server.async_stream_infer("minilm", [text("text", TEXT)], model_version="1", request_id="3")
    assert {result.get_response().id for result in until_final(answers)} == {"1"}
    _, error = answers.get(timeout=60)
    assert "minilm@1" in str(error)
    [embedded] = until_final(answers)
    assert (embedded.get_response().id, embedded.as_numpy("embedding").shape) == ("3", (1, 384))


def test_a_stream_that_may_not_come_in_ends_before_its_first_request(
    server: triton.InferenceServerClient,
) -> None:
    arrived: queue.Queue[Answer] = queue.Queue()
    server.start_stream(lambda result, error: arrived.put((result, error)), headers={"x-request-timeout": "x"})
    _, error = arrived.get(timeout=30)
    assert "'x' is not a number of seconds" in str(error)


def test_cancelling_a_stream_frees_the_engine(
    server: triton.InferenceServerClient, answers: queue.Queue[Answer], stats: Callable[[], Load]
) -> None:
    wait_for_running(stats, 0)
    long = {"max_tokens": 1500, "temperature": 0}
    server.async_stream_infer("smollm2-135m", [text("text_input", "A story about the sea:")], parameters=long)
    assert answers.get(timeout=60)[1] is None
    assert stats().num_running == 1
    server.stop_stream(cancel_requests=True)
    assert wait_for_running(stats, 0) < 3
    assert stats().num_kv_pages_used == 0


def test_cancelling_a_call_frees_the_engine(
    server: triton.InferenceServerClient, stats: Callable[[], Load]
) -> None:
    wait_for_running(stats, 0)
    ended = threading.Event()
    call = server.async_infer(
        "smollm2-135m",
        [text("text_input", "A story about the sea:")],
        lambda **_: ended.set(),
        parameters={"max_tokens": 1500, "temperature": 0},
    )
    wait_for_running(stats, 1)
    call.cancel()
    assert ended.wait(10)
    assert wait_for_running(stats, 0) < 3


def test_a_client_s_deadline_frees_the_engine(
    server: triton.InferenceServerClient, stats: Callable[[], Load]
) -> None:
    wait_for_running(stats, 0)
    prompt = [text("text_input", "A story about the sea:")]
    long = {"max_tokens": 1500, "temperature": 0}
    with pytest.raises(InferenceServerException) as raised:
        server.infer("smollm2-135m", prompt, parameters=long, client_timeout=1.5)
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert wait_for_running(stats, 0) < 3


@pytest.mark.parametrize(
    ("model", "parameters", "headers", "status", "said"),
    [
        ("absent", None, {}, "NOT_FOUND", "smollm2-135m@1"),
        ("minilm@1", None, {}, "INVALID_ARGUMENT", "minilm@1"),
        ("smollm2-135m", {"max_token": 3}, {}, "INVALID_ARGUMENT", "did you mean max_tokens"),
        ("smollm2-135m", {"max_tokens": 100_000}, {}, "INVALID_ARGUMENT", "2048"),
        (
            "smollm2-135m",
            {"max_tokens": 1500, "temperature": 0},
            {"x-request-timeout": "0.3"},
            "DEADLINE_EXCEEDED",
            "0.3 s",
        ),
    ],
)
def test_errors(
    server: triton.InferenceServerClient,
    model: str,
    parameters: dict[str, Any] | None,
    headers: dict[str, str],
    status: str,
    said: str,
) -> None:
    with pytest.raises(InferenceServerException, match=said) as raised:
        server.infer(model, [text("text_input", PROMPT)], parameters=parameters, headers=headers)
    assert raised.value.status() == f"StatusCode.{status}"


def test_what_an_answer_carries(cluster: Cluster) -> None:
    with grpc.insecure_channel(cluster.grpc_url) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelReady",
            request_serializer=pb.ModelReadyRequest.SerializeToString,
            response_deserializer=pb.ModelReadyResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as raised:
            call(pb.ModelReadyRequest(name="absent"), metadata=(("x-request-id", "mine"),), timeout=30)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    trailing: dict[str, object] = {entry.key: entry.value for entry in raised.value.trailing_metadata()}
    assert trailing["x-request-id"] == "mine"
