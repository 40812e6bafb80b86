from __future__ import annotations

import httpx
import pytest

DOCUMENTS = ["dad", "abba", "", "ab"]


def rerank(http: httpx.Client, **options: object) -> httpx.Response:
    return http.post("/v1/rerank", json={"model": "mini", "query": "ab", "documents": DOCUMENTS, **options})


def test_the_most_similar_come_first_and_equals_in_order(http: httpx.Client) -> None:
    reply = rerank(http).json()
    assert reply["id"].startswith("rerank-")
    assert reply["model"] == "mini@1"
    assert [result["index"] for result in reply["results"]] == [1, 3, 0, 2]
    scores = [result["relevance_score"] for result in reply["results"]]
    # Counts of a, b, c, d: (1,1,0,0) against (2,2,0,0), itself, (1,0,0,2) and nothing.
    assert scores == pytest.approx([1, 1, 1 / 10**0.5, 0])
    assert reply["results"][0]["document"] == {"text": "abba"}
    assert reply["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_as_many_as_asked_for_with_or_without_their_texts(http: httpx.Client) -> None:
    best = rerank(http, top_n=2, return_documents=False).json()["results"]
    assert [set(result) for result in best] == [{"index", "relevance_score"}] * 2
    assert len(rerank(http, top_n=0).json()["results"]) == len(rerank(http, top_n=99).json()["results"]) == 4


def test_documents_may_be_objects_with_a_text(http: httpx.Client) -> None:
    written = rerank(http, documents=[{"text": text} for text in DOCUMENTS]).json()
    assert written["results"] == rerank(http).json()["results"]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["x"] * 2048}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"query": ["x"]}, "query"),
        ({"top_n": -1}, "top_n"),
        ({"max_tokens_per_doc": 10}, "max_tokens_per_doc"),
        ({"truncate_prompt_tokens": 10}, "truncate_prompt_tokens"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], param: str) -> None:
    response = rerank(http, **options)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("document", "param", "said"),
    [
        ({"title": "y"}, "documents[1].text", "is required"),
        ({"text": "y", "title": "y"}, "documents[1].title", "unknown field documents[1].title"),
        ({"text": 5}, "documents[1].text", "valid string"),
        (5, "documents[1]", 'a string, or an object with a "text"'),
    ],
)
def test_a_document_that_is_no_text_is_named(http: httpx.Client, document: object, param: str, said: str) -> None:
    response = rerank(http, documents=["x", document])
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize("model", ["echo", "adder"])
def test_a_model_that_does_not_embed_is_refused(http: httpx.Client, model: str) -> None:
    response = rerank(http, model=model)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "wrong_task")
    assert "name a model that embeds" in response.json()["error"]["message"]


def test_vectors_that_are_not_finite_are_the_engines_fault(http: httpx.Client) -> None:
    response = rerank(http, documents=["a", "nan"])
    assert (response.status_code, response.json()["error"]["code"]) == (500, "engine_error")
