"""Responses, rerank and score on real models."""

from __future__ import annotations

from typing import Literal

import httpx
import numpy as np
import pytest
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel

from tests.integration.cluster import Cluster

CHAT = "smollm2-135m"
QUESTION = "What is the capital of France?"
QUERY = "Where do ships unload?"
DOCUMENTS = [
    "A cat sleeps on the sofa.",
    "Cargo is taken off vessels in the harbour.",
    "Bread is baked in an oven.",
]


def test_a_response_is_what_chat_answers(client: OpenAI) -> None:
    response = client.responses.create(model=CHAT, input=QUESTION, temperature=0, max_output_tokens=30)
    chat = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=30
    )
    assert response.output_text == chat.choices[0].message.content
    assert (response.status, response.model) == ("completed", "smollm2-135m@1")
    assert response.usage is not None
    assert chat.usage is not None
    assert response.usage.total_tokens == chat.usage.total_tokens


def test_the_stream_builds_the_same_response(client: OpenAI) -> None:
    whole = client.responses.create(model=CHAT, input=QUESTION, temperature=0, max_output_tokens=4)
    with client.responses.stream(model=CHAT, input=QUESTION, temperature=0, max_output_tokens=4) as stream:
        *_, last = stream
    assert last.type == "response.incomplete"
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage


def test_a_response_and_a_message_keep_to_a_schema(cluster: Cluster, client: OpenAI) -> None:
    class Answer(BaseModel):
        capital: Literal["Paris", "Rome"]

    parsed = client.responses.parse(model=CHAT, input=QUESTION, temperature=0, text_format=Answer).output_parsed
    assert parsed == Answer(capital="Paris")
    with Anthropic(base_url=cluster.base_url, api_key="none", max_retries=0, timeout=120) as judge:
        message = judge.messages.create(
            model=CHAT,
            max_tokens=30,
            messages=[{"role": "user", "content": QUESTION}],
            output_config={"format": {"type": "json_schema", "schema": Answer.model_json_schema()}},
        )
    (block,) = message.content
    assert block.type == "text"
    Answer.model_validate_json(block.text)


@pytest.mark.parametrize("model", ["minilm@1", "minilm@2"])
def test_reranking_is_the_cosine_of_the_embeddings(cluster: Cluster, client: OpenAI, model: str) -> None:
    body = {"model": model, "query": QUERY, "documents": DOCUMENTS}
    reply = httpx.post(f"{cluster.base_url}/v1/rerank", json=body, timeout=60).json()
    query, *documents = [
        np.array(item.embedding)
        for item in client.embeddings.create(model=model, input=[QUERY, *DOCUMENTS], encoding_format="float").data
    ]
    expected = [float(query @ each / np.linalg.norm(query) / np.linalg.norm(each)) for each in documents]
    assert reply["results"][0]["document"]["text"] == DOCUMENTS[1]
    for result in reply["results"]:
        assert result["relevance_score"] == pytest.approx(expected[result["index"]], abs=1e-5)
    sides = {"model": model, "text_1": QUERY, "text_2": DOCUMENTS}
    scored = httpx.post(f"{cluster.base_url}/v1/score", json=sides, timeout=60).json()
    assert [entry["score"] for entry in scored["data"]] == pytest.approx(expected, abs=1e-5)


def test_a_generating_model_does_not_rerank(cluster: Cluster) -> None:
    body = {"model": CHAT, "query": QUERY, "documents": DOCUMENTS}
    reply = httpx.post(f"{cluster.base_url}/v1/rerank", json=body, timeout=60)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "wrong_task")
    assert "name a model that embeds" in reply.json()["error"]["message"]


def test_the_document_describes_what_is_served(cluster: Cluster) -> None:
    document = httpx.get(f"{cluster.base_url}/openapi.json", timeout=30).json()
    assert {"/v1/messages", "/v1/responses", "/v1/rerank", "/v1/score", "/v2"} <= document["paths"].keys()
