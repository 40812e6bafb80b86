"""tritonclient[http] is the judge of the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from openai import OpenAI
from tokenizers import Tokenizer
from tritonclient.utils import InferenceServerException

from tests.integration.cluster import Cluster

TEXT = "Ships carry cargo."


@pytest.fixture
def server(cluster: Cluster) -> Iterator[triton.InferenceServerClient]:
    opened = triton.InferenceServerClient(cluster.base_url.removeprefix("http://"))
    yield opened
    opened.close()


@pytest.fixture
def token_inputs(cluster: Cluster, store_folder: Path) -> list[triton.InferInput]:
    tokenizer = Tokenizer.from_file(str(store_folder / "minilm" / "2" / "tokenizer.json"))
    tokenizer.no_padding()
    encoding = tokenizer.encode(TEXT)
    names = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    graph = triton.InferenceServerClient(cluster.base_url.removeprefix("http://"))
    wanted = {spec["name"] for spec in graph.get_model_metadata("minilm", "2")["inputs"]}
    graph.close()
    return [_input(name, np.array([ids], dtype=np.int64)) for name, ids in names.items() if name in wanted]


def _input(
    name: str, data: np.ndarray[tuple[int, ...], np.dtype[np.int64]], binary: bool = True
) -> triton.InferInput:
    tensor = triton.InferInput(name, list(data.shape), "INT64")
    tensor.set_data_from_numpy(data, binary_data=binary)
    return tensor


def test_health_and_metadata(server: triton.InferenceServerClient) -> None:
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.get_server_metadata()["name"] == "stowage"
    for model, version in (("smollm2-135m", "1"), ("minilm", "1"), ("minilm", "2"), ("minilm", "")):
        assert server.is_model_ready(model, version)
    assert not server.is_model_ready("absent")
    metadata = server.get_model_metadata("minilm", "2")
    assert metadata["name"] == "minilm"
    assert "input_ids" in {spec["name"] for spec in metadata["inputs"]}


def test_onnx_tensors_in_and_out(
    server: triton.InferenceServerClient, token_inputs: list[triton.InferInput]
) -> None:
    result = server.infer("minilm", token_inputs, model_version="2", request_id="r-1")
    reply = result.get_response()
    assert (reply["model_name"], reply["model_version"], reply["id"]) == ("minilm", "2", "r-1")
    output = result.as_numpy(reply["outputs"][0]["name"])
    assert output.dtype == np.float32
    assert output.shape[0] == 1
    assert output.shape[-1] == 384


def test_binary_and_json_tensors_agree(
    server: triton.InferenceServerClient, token_inputs: list[triton.InferInput]
) -> None:
    name = server.get_model_metadata("minilm", "2")["outputs"][0]["name"]
    answers = [
        server.infer(
            "minilm",
            token_inputs,
            model_version="2",
            outputs=[triton.InferRequestedOutput(name, binary_data=binary)],
            request_compression_algorithm=compression,
        ).as_numpy(name)
        for binary, compression in ((True, None), (False, None), (True, "gzip"), (True, "deflate"))
    ]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-6)


def test_text_embedding_as_tensors(server: triton.InferenceServerClient, client: OpenAI) -> None:
    text = triton.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([TEXT.encode()], dtype=np.object_))
    vector = server.infer("minilm", [text], model_version="1").as_numpy("embedding")
    expected = client.embeddings.create(model="minilm@1", input=TEXT).data[0].embedding
    np.testing.assert_allclose(vector[0], expected, atol=1e-5)


def test_bad_tensors_are_named(
    server: triton.InferenceServerClient, token_inputs: list[triton.InferInput]
) -> None:
    with pytest.raises(InferenceServerException, match="attention_mask"):
        server.infer("minilm", token_inputs[:1], model_version="2")
    with pytest.raises(InferenceServerException, match="minilm@1"):
        server.infer("absent", token_inputs)


def test_generate_extension(cluster: Cluster) -> None:
    body = {"text_input": "The capital of France is", "parameters": {"max_tokens": 6, "temperature": 0}}
    whole = httpx.post(f"{cluster.base_url}/v2/models/smollm2-135m/generate", json=body, timeout=60).json()
    assert whole["model_version"] == "1"
    url = f"{cluster.base_url}/v2/models/smollm2-135m/versions/1/generate_stream"
    with httpx.stream("POST", url, json=body, timeout=60) as stream:
        events = [
            json.loads(line.removeprefix("data:")) for line in stream.iter_lines() if line.startswith("data:")
        ]
    assert "".join(event["text_output"] for event in events) == whole["text_output"]
    assert len(events) > 1
