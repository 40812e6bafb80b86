from __future__ import annotations

import base64

import httpx
import numpy as np
import openai
import pytest
from openai import OpenAI

from deployments.api.openai.embeddings import EmbeddingEndpoint
from models.types import VersionId
from tests.unit.deployments.planes import a_call, make_rig


def test_floats_and_base64_are_the_same_numbers(client: OpenAI, http: httpx.Client) -> None:
    texts = ["abba", "dad", ""]
    expected = np.array([[2, 2, 0, 0], [1, 0, 0, 2], [0, 0, 0, 0]], np.float32) / np.float32(3)
    floats = client.embeddings.create(model="mini", input=texts, encoding_format="float")
    assert np.array_equal(np.array([item.embedding for item in floats.data], np.float32), expected)
    assert [item.index for item in floats.data] == [0, 1, 2]
    body = {"model": "mini", "input": texts, "encoding_format": "base64"}
    raw = [base64.b64decode(item["embedding"]) for item in http.post("/v1/embeddings", json=body).json()["data"]]
    assert raw == [row.astype("<f4").tobytes() for row in expected]


def test_the_clients_default_encoding(client: OpenAI) -> None:
    answer = client.embeddings.create(model="mini@1", input="abc d")
    assert answer.model == "mini@1"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 2
    assert np.allclose(answer.data[0].embedding, 1 / 3)


@pytest.mark.parametrize("tokens", [[3, 1], [[3, 1]]])
def test_token_ids(client: OpenAI, tokens: list[int]) -> None:
    answer = client.embeddings.create(model="mini", input=tokens, encoding_format="float")
    assert answer.data[0].embedding == [3, 1, 0, 0]


def test_dimensions_pass_when_they_are_the_models_own(client: OpenAI) -> None:
    assert len(client.embeddings.create(model="mini", input="a", dimensions=4).data[0].embedding) == 4
    with pytest.raises(openai.BadRequestError, match="vectors of mini@1 have 4 dimensions") as caught:
        client.embeddings.create(model="mini", input="a", dimensions=2)
    assert caught.value.param == "dimensions"


async def test_dimensions_leave_the_choice_of_the_version_to_a_rollout() -> None:
    rig = await make_rig("m@1", "m@2")
    rig.traffic.rollouts = {"m": {VersionId("m", "1"): 50, VersionId("m", "2"): 50}}
    endpoint = EmbeddingEndpoint(rig.plane)
    assert {await endpoint._with_dimensions("m", 4, a_call()) for _ in range(50)} == {"m@1", "m@2"}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": []}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"inputs": "a"}, "inputs"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], param: str) -> None:
    response = http.post("/v1/embeddings", json={"model": "mini", "input": "x", **options})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_vectors_that_are_not_finite_are_the_engines_fault(http: httpx.Client) -> None:
    response = http.post("/v1/embeddings", json={"model": "mini", "input": ["a", "nan"]})
    assert response.status_code == 500
    assert "NaN or infinity" in response.json()["error"]["message"]
