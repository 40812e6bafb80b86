"""Forms for the text, as OpenAI's client and vLLM's users send them, reach the engine as grammars."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI
from pydantic import BaseModel

from models.types import Grammar, GrammarKind
from tests.unit.deployments.api.fake import FakeDataPlane

HELLO = {"role": "user", "content": "hello"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


class Person(BaseModel):
    """What a caller of ``parse`` writes."""

    name: str
    age: int


def sent(
    http: httpx.Client, dataplane: FakeDataPlane, path: str = "/v1/chat/completions", **fields: object
) -> Grammar | None:
    prompt = {"prompt": "hello"} if path == "/v1/completions" else {"messages": [HELLO]}
    response = http.post(path, json={"model": "echo", **prompt, **fields})
    assert response.status_code == 200, response.text
    return dataplane.generations[-1].grammar


def schema_of(grammar: Grammar | None) -> object:
    assert grammar is not None
    assert grammar.kind is GrammarKind.JSON_SCHEMA
    return json.loads(grammar.text)


def test_a_schema_in_openais_form(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    given = {"type": "json_schema", "json_schema": {"name": "it", "schema": SCHEMA, "strict": True}}
    grammar = sent(http, dataplane, response_format=given)
    assert schema_of(grammar) == SCHEMA
    assert grammar is not None
    assert grammar.param == "response_format"


def test_any_object(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    assert schema_of(sent(http, dataplane, response_format={"type": "json_object"})) == {"type": "object"}


@pytest.mark.parametrize("fields", [{}, {"response_format": None}, {"response_format": {"type": "text"}}])
def test_plain_text(http: httpx.Client, dataplane: FakeDataPlane, fields: dict[str, Any]) -> None:
    assert sent(http, dataplane, **fields) is None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_vllms_forms(http: httpx.Client, dataplane: FakeDataPlane, path: str) -> None:
    assert schema_of(sent(http, dataplane, path, structured_outputs={"json": SCHEMA})) == SCHEMA
    regex = sent(http, dataplane, path, structured_outputs={"regex": "a+"})
    assert regex == Grammar(GrammarKind.REGEX, "a+", "structured_outputs.regex")
    choice = sent(http, dataplane, path, structured_outputs={"choice": ["yes", "no"]})
    assert choice == Grammar(GrammarKind.CHOICE, '["yes", "no"]', "structured_outputs.choice")


def test_a_pydantic_model_through_parse(client: OpenAI, dataplane: FakeDataPlane) -> None:
    """``echo`` says what it was told: that is the object."""
    message = {"role": "user", "content": '{"name": "Ann", "age": 3}'}
    reply = client.chat.completions.parse(model="echo", messages=[message], response_format=Person)  # type: ignore[list-item]
    assert reply.choices[0].message.parsed == Person(name="Ann", age=3)
    assert schema_of(dataplane.generations[-1].grammar) == {
        **Person.model_json_schema(),
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "do not go together"),
        (
            {"response_format": {"type": "text", "json_schema": {"name": "x", "schema": {}}}},
            "response_format.json_schema",
            "do not go together",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "response_format.json_schema.name",
            "pattern",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "shema": {}}}},
            "response_format.json_schema.schema",
            "required",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "schemas": 1}}},
            "response_format.json_schema.schemas",
            "did you mean schema?",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}},
            "response_format.json_schema.schema",
            "object",
        ),
        ({"structured_outputs": {}}, "structured_outputs", "0 forms"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs", "2 forms"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", "at least 1"),
        (
            {"structured_outputs": {"grammar": "start: x"}},
            "structured_outputs.grammar",
            "known fields: json, regex",
        ),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
            "two forms",
        ),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, fields: dict[str, object], param: str, said: str) -> None:
    response = http.post("/v1/chat/completions", json={"model": "echo", "messages": [HELLO], **fields})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert said in response.json()["error"]["message"]
