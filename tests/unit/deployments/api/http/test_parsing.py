from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.api.anthropic.schemas import MessagesRequest
from deployments.api.http.parsing import WireModel, parse
from deployments.api.oip.generate import GenerateBody
from deployments.api.oip.schemas import InferBody
from deployments.api.openai.chat import ChatRequest
from deployments.api.openai.completions import CompletionRequest
from deployments.api.openai.embeddings import EmbeddingBody
from deployments.api.openai.responses_schema import ResponseRequest
from deployments.api.rerank.rerank import RerankRequest
from deployments.api.rerank.score import ScoreRequest
from models.errors import InvalidRequestError

MODELS: list[type[WireModel]] = [
    ChatRequest,
    CompletionRequest,
    EmbeddingBody,
    GenerateBody,
    InferBody,
    MessagesRequest,
    RerankRequest,
    ResponseRequest,
    ScoreRequest,
]
FIELDS = sorted({field for model in MODELS for field in model.model_fields} | {"role", "content", "name", "shape"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["user", "text", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(MODELS), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8))
def test_any_object_is_read_or_refused(model: type[WireModel], body: dict[str, object]) -> None:
    with contextlib.suppress(InvalidRequestError):
        parsed = parse(model, json.dumps(body).encode())
        assert set(body) <= set(type(parsed).model_fields)


@given(st.sampled_from(MODELS), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(model: type[WireModel], body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse(model, body)


def test_an_unknown_field_without_a_near_one_lists_what_there_is() -> None:
    with pytest.raises(InvalidRequestError, match="known fields: text_input, id, parameters") as caught:
        parse(GenerateBody, b'{"text_input": "x", "zzzz": 1}')
    assert caught.value.param == "zzzz"


def test_long_values_are_shortened_in_messages() -> None:
    body = json.dumps({"text_input": "x", "id": ["y" * 10_000]}).encode()
    with pytest.raises(InvalidRequestError) as caught:
        parse(GenerateBody, body)
    assert len(str(caught.value)) < 200
