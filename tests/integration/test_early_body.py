"""Bodies that the proxy sends to the router with the headers, and those that it cannot or must not send so."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.cluster import Cluster, eventually

ECHO = "tests.integration.echo:build_echo"
EMBEDDINGS = "/v1/embeddings"


@pytest.fixture(scope="module")
def with_echo(cluster: Cluster) -> Iterator[Cluster]:
    config = cluster.edited()
    config["applications"].append({"name": "echo", "route_prefix": "/echo-app", "import_path": ECHO})
    try:
        cluster.deploy(config)
        eventually(lambda: cluster.pids("echo"), 60, "the echo is up")
        yield cluster
    finally:
        cluster.restore()


@pytest.mark.parametrize("size", [0, 10, 2**16, 2**16 + 1, 2**20])
def test_applications_of_others_receive_their_bodies(with_echo: Cluster, size: int) -> None:
    body = b"x" * size
    reply = httpx.post(f"{with_echo.base_url}/echo-app/echo", content=body, timeout=30)
    assert (reply.status_code, reply.content) == (200, body)


@pytest.mark.parametrize("num_words", [1, 100, 30_000])
def test_the_router_reads_small_and_large_bodies(with_echo: Cluster, num_words: int) -> None:
    request = {"model": "minilm", "input": ["word"] * 2, "user": "u" * num_words}
    reply = httpx.post(f"{with_echo.base_url}{EMBEDDINGS}", json=request, timeout=60)
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["data"]) == 2


def test_the_router_waits_for_a_body_that_comes_late(with_echo: Cluster) -> None:
    url = httpx.URL(with_echo.base_url)
    body = json.dumps({"model": "minilm", "input": "word"}).encode()
    headers = f"Host: {url.host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(f"POST {EMBEDDINGS} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
        time.sleep(0.2)
        connection.sendall(body[:10])
        time.sleep(0.2)
        connection.sendall(body[10:])
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]
