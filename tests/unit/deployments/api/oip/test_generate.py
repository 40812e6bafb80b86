from __future__ import annotations

import json

import httpx
import pytest

from models.types import SamplingParams
from tests.unit.deployments.api.fake import FakeDataPlane


def test_a_whole_text_with_details(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    parameters = {
        "max_tokens": 2,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "stop": "x",
        "seed": 1,
        "details": True,
    }
    body = {"text_input": "one two three", "id": "7", "parameters": parameters}
    assert http.post("/v2/models/echo/generate", json=body).json() == {
        "model_name": "echo",
        "model_version": "2",
        "id": "7",
        "text_output": "one two ",
        "details": {"finish_reason": "length", "prompt_tokens": 3, "completion_tokens": 2},
    }
    assert dataplane.generations[-1].prompt == "one two three"
    assert dataplane.generations[-1].sampling == SamplingParams(2, 0, 0.5, 3, ("x",), 1)


@pytest.mark.parametrize("path", ["echo", "echo@1", "echo/versions/1", "echo@1/versions/1"])
def test_a_text_without_parameters(http: httpx.Client, path: str) -> None:
    reply = http.post(f"/v2/models/{path}/generate", json={"text_input": "one"}).json()
    assert (reply["text_output"], "details" in reply) == ("one ", False)
    assert reply["model_version"] == ("2" if path == "echo" else "1")


def test_a_stream_of_what_is_new(http: httpx.Client) -> None:
    body = {"text_input": "one two", "parameters": {"details": True}}
    response = http.post("/v2/models/echo/generate_stream", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(event.removeprefix("data: ")) for event in response.text.split("\n\n")[:-1]]
    assert "".join(event["text_output"] for event in events) == "one two "
    assert ["details" in event for event in events] == [False, False, True]
    assert events[-1]["details"]["completion_tokens"] == 2


def test_errors_before_and_after_the_first_words(http: httpx.Client) -> None:
    early = http.post("/v2/models/echo/generate_stream", json={"text_input": "break"})
    assert (early.status_code, early.json()) == (500, {"error": "the engine broke"})
    late = http.post("/v2/models/echo/generate_stream", json={"text_input": "one break"})
    assert (late.status_code, late.text.split("\n\n")[1:]) == (200, ['data: {"error":"the engine broke"}', ""])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "text_input is required"),
        ({"text_input": ["a"]}, "text_input"),
        ({"text_input": "a", "parameters": {"max_token": 1}}, "did you mean max_tokens?"),
        ({"text_input": "a", "parameters": {"temperature": 3}}, "parameters.temperature"),
        ({"text_input": "a", "stream": True}, "unknown field stream"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, body: dict[str, object], said: str) -> None:
    response = http.post("/v2/models/echo/generate", json=body)
    assert response.status_code == 400
    assert said in response.json()["error"]
