from __future__ import annotations

import httpx
import pytest


def score(http: httpx.Client, **sides: object) -> httpx.Response:
    return http.post("/v1/score", json={"model": "mini", **sides})


@pytest.mark.parametrize("names", [("text_1", "text_2"), ("queries", "documents")])
def test_one_text_with_each_of_several(http: httpx.Client, names: tuple[str, str]) -> None:
    reply = score(http, **dict(zip(names, ("a", ["a", "b", "ab"]), strict=True))).json()
    assert reply["id"].startswith("score-")
    assert (reply["object"], reply["model"]) == ("list", "mini@1")
    assert [(entry["index"], entry["object"]) for entry in reply["data"]] == [(i, "score") for i in range(3)]
    assert [entry["score"] for entry in reply["data"]] == pytest.approx([1, 0, 0.5**0.5])
    assert reply["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_neighbours_of_two_lists(http: httpx.Client) -> None:
    reply = score(http, text_1=["a", "b"], text_2=["b", "b"]).json()
    assert [entry["score"] for entry in reply["data"]] == pytest.approx([0, 1])


def test_two_single_texts(http: httpx.Client) -> None:
    (entry,) = score(http, text_1="abcd", text_2="abcd").json()["data"]
    assert entry["score"] == pytest.approx(1)
    assert entry["score"] <= 1


@pytest.mark.parametrize(
    ("sides", "param"),
    [
        ({}, "text_1"),
        ({"text_1": "a"}, "text_1"),
        ({"text_1": "a", "documents": "b"}, "text_1"),
        ({"text_1": "a", "text_2": "b", "queries": "c"}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_1"),
        ({"queries": ["a", "b"], "documents": ["c"]}, "queries"),
        ({"queries": [], "documents": ["c"]}, "queries"),
        ({"queries": "a", "documents": ["c"] * 1025}, "documents"),
        ({"queries": "a", "documents": [5]}, "documents[0]"),
        ({"text_1": "a", "text_2": "b", "truncate_prompt_tokens": 3}, "truncate_prompt_tokens"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, sides: dict[str, object], param: str) -> None:
    response = score(http, **sides)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_model_that_does_not_embed_is_refused(http: httpx.Client) -> None:
    response = http.post("/v1/score", json={"model": "echo", "text_1": "a", "text_2": "b"})
    assert response.json()["error"]["code"] == "wrong_task"
