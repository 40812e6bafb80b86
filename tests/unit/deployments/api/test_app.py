from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator

import httpx
import pytest

from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS

CHAT = "/v1/chat/completions"
TOO_MUCH = SETTINGS.max_body_bytes + 1


def chat(content: str, **options: object) -> dict[str, object]:
    return {"model": "echo", "messages": [{"role": "user", "content": content}], **options}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/none", 404), ("GET", CHAT, 405)])
def test_unknown_paths_and_methods_in_openais_shape(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert path in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/none", 404),
        ("GET", "/v2/models/echo/infer", 405),
        ("GET", "/v10", 404),
        ("POST", "/healthz", 405),
    ],
)
def test_unknown_paths_and_methods_elsewhere(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert path in response.json()["error"]


def test_a_request_id_is_made_or_kept(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    made = http.get("/healthz").headers["x-request-id"]
    assert len(made) == 32
    assert made != http.get("/healthz").headers["x-request-id"]
    for _ in range(2):
        response = http.post(CHAT, json=chat("x"), headers={"x-request-id": "mine 7"})
        assert response.headers["x-request-id"] == "mine 7"
    first, second = (request.request_id for request in dataplane.generations[-2:])
    assert first.startswith("mine 7-")
    assert second.startswith("mine 7-")
    assert first != second


@pytest.mark.parametrize("bad", [b"", b"x" * 129, b"caf\xc3\xa9", b"a\tb"])
def test_a_bad_request_id_is_refused_under_a_new_one(http: httpx.Client, bad: bytes) -> None:
    response = http.post(CHAT, json=chat("x"), headers=[(b"x-request-id", bad)])
    assert (response.status_code, response.json()["error"]["param"]) == (400, "x-request-id")
    assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize("bad", ["0", "-1", "nan", "inf", "soon", "60.5", ""])
def test_a_bad_time_limit_is_refused(http: httpx.Client, bad: str) -> None:
    response = http.post(CHAT, json=chat("x"), headers={"x-request-timeout": bad})
    assert response.status_code == 400
    assert "up to 60" in response.json()["error"]["message"]


def test_the_time_limit_reaches_the_data_plane(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    http.post(CHAT, json=chat("x"), headers={"x-request-timeout": "2.5"})
    assert 2 < dataplane.timeouts[-1] <= 2.5
    http.post(CHAT, json=chat("x"))
    assert 19 < dataplane.timeouts[-1] <= 20


def test_a_declared_body_above_the_limit(http: httpx.Client) -> None:
    response = http.post(CHAT, content=b"x" * TOO_MUCH)
    assert response.status_code == 413
    assert str(SETTINGS.max_body_bytes) in response.json()["error"]["message"]


def test_an_undeclared_body_above_the_limit(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * SETTINGS.max_body_bytes
        yield b"x"

    assert http.post("/v2/models/adder/infer", content=chunks()).status_code == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body(http: httpx.Client, encoding: str) -> None:
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    plain = httpx.Request("POST", "http://x", json=chat("hello")).content
    headers = {"content-encoding": encoding}
    assert http.post(CHAT, content=compress(plain), headers=headers).json()["model"] == "echo@2"
    bomb = http.post(CHAT, content=compress(b" " * TOO_MUCH), headers=headers)
    assert bomb.status_code == 413


def test_an_unknown_encoding(http: httpx.Client) -> None:
    response = http.post(CHAT, content=b"x", headers={"content-encoding": "br"})
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert "'br'" in response.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[]", b"null", b'{"model": "\\ud800"}', b"[" * 5000])
def test_bodies_that_are_no_object(http: httpx.Client, content: bytes) -> None:
    response = http.post(CHAT, content=content)
    assert response.status_code == 400
    assert "the body" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", [CHAT, "/v2/models/echo/generate"])
def test_an_unexpected_error_is_logged_and_not_told(
    http: httpx.Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = chat("crash") if path == CHAT else {"text_input": "crash"}
    with caplog.at_level(logging.ERROR, "deployments.api"):
        response = http.post(path, json=body, headers={"x-request-id": "r1"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "r1" in response.text
    assert "the secret cause" in caplog.text


def test_an_unexpected_error_inside_a_stream(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    response = http.post(CHAT, json=chat("one crashlate", stream=True))
    assert response.status_code == 200
    assert '"type":"server_error"' in response.text
    assert "secret" not in response.text
    assert "[DONE]" not in response.text
    assert "the secret cause" in caplog.text
