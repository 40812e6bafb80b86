from __future__ import annotations

from collections import defaultdict

import httpx
import openai
import pytest
from openai import OpenAI

from tests.unit.deployments.api.fake import FakeDataPlane


def test_one_prompt(client: OpenAI, dataplane: FakeDataPlane) -> None:
    answer = client.completions.create(model="echo", prompt="one two three")
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", "echo@2")
    assert [(choice.index, choice.text, choice.finish_reason) for choice in answer.choices] == [
        (0, "one two three ", "stop")
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 6
    assert dataplane.generations[-1].sampling.max_tokens == 16


def test_several_prompts_make_choices_and_their_usage_is_summed(client: OpenAI, dataplane: FakeDataPlane) -> None:
    answer = client.completions.create(model="echo", prompt=["one", "two three four"], max_tokens=2)
    assert [(choice.text, choice.finish_reason) for choice in answer.choices] == [
        ("one ", "stop"),
        ("two three ", "length"),
    ]
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 3)
    first, second = (request.request_id for request in dataplane.generations[-2:])
    assert first != second


@pytest.mark.parametrize("prompt", [[5, 6], [[5, 6]]])
def test_token_ids(client: OpenAI, dataplane: FakeDataPlane, prompt: list[int]) -> None:
    assert client.completions.create(model="echo", prompt=prompt).choices[0].text == "5 6 "
    assert dataplane.generations[-1].prompt == (5, 6)


def test_a_stream_of_several_prompts(client: OpenAI) -> None:
    texts: defaultdict[int, str] = defaultdict(str)
    reasons: dict[int, str] = {}
    for chunk in client.completions.create(model="echo", prompt=["a b", "c d e"], stream=True):
        (choice,) = chunk.choices
        texts[choice.index] += choice.text
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
    assert texts == {0: "a b ", 1: "c d e "}
    assert reasons == {0: "stop", 1: "stop"}


def test_one_bad_prompt_refuses_the_whole_request(client: OpenAI, dataplane: FakeDataPlane) -> None:
    with pytest.raises(openai.BadRequestError, match="65 tokens exceed"):
        client.completions.create(model="echo", prompt=["forever", "x " * 65], stream=True)
    assert dataplane.num_active == 0


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 0}, "logprobs"),
        ({"suffix": "end"}, "suffix"),
        ({"max_completion_tokens": 3}, "max_completion_tokens"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], param: str) -> None:
    response = http.post("/v1/completions", json={"model": "echo", "prompt": "x", **options})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
