"""Keys and limits at the door of a real cluster: who comes in, as soon as that changes, and how much."""

from __future__ import annotations

import collections
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import make_certificate
from tests.integration.cluster import Cluster, eventually, free_port, run_command
from tests.integration.routers import MODEL, Books, all_say, models, router_application, tokens, two_routers
from tests.integration.traffic import PROMPTS, Target, traffic

WITHIN_S = 10.0
"""A tick of the router and its look at the keys, a second each, and what a busy machine adds."""


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    folder = tmp_path_factory.mktemp("keys")
    return Books(f"sqlite:///{folder / 'state.db'}", folder / "audit")


@pytest.fixture(scope="module")
def running(books: Books, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two router replicas that ask for keys once there is one."""
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(two_routers(folder, books, num_models=1), folder)
    try:
        cluster.wait_until_announced(timeout_s=240)
        eventually(lambda: len(cluster.pids("router")) == 2, 60, "both routers are up")
        yield cluster
    finally:
        cluster.interrupt()


def complete(cluster: Cluster, key: str, max_tokens: int = 2) -> httpx.Response:
    body = {"model": MODEL, "prompt": PROMPTS[0], "max_tokens": max_tokens, "temperature": 0}
    headers = {"x-api-key": key}
    return httpx.post(f"{cluster.base_url}/v1/completions", json=body, headers=headers, timeout=30)


def soon(ask: Callable[[], httpx.Response], status: int, within_s: float = WITHIN_S) -> None:
    """AssertionError unless all router replicas answer with the status soon."""
    eventually(lambda: all_say(ask, status), within_s, f"all say {status}")


def test_the_first_key_closes_the_door(running: Cluster, books: Books) -> None:
    assert all_say(lambda: models(running, None), 200)
    key = books.create_key("ann", "--role", "admin")
    soon(lambda: models(running, None), 401)
    assert all_say(lambda: models(running, key), 200)
    reply = models(running, "sk-stow-wrong")
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(f"{running.base_url}/healthz", timeout=30).json() == {"status": "ok"}
    assert running.readiness() == {}  # nothing is told of the models


def test_a_revoked_key_is_refused(running: Cluster, books: Books) -> None:
    key = books.create_key("bob")
    soon(lambda: models(running, key), 200)
    run_command("stowage", "keys", "revoke", key.split("-")[2], "--state", books.url)
    soon(lambda: models(running, key), 401)
    assert "was revoked on" in models(running, key).json()["error"]["message"]


def test_a_rotated_keys_old_text_goes_on_for_its_grace(running: Cluster, books: Books) -> None:
    old = books.create_key("cid")
    command = ("stowage", "keys", "rotate", old.split("-")[2], "--grace", "12s", "--state", books.url, "--quiet")
    new = run_command(*command).strip()
    soon(lambda: models(running, new), 200)
    assert all_say(lambda: models(running, old), 200)
    soon(lambda: models(running, old), 401, within_s=30)
    assert all_say(lambda: models(running, new), 200)


def test_an_expired_key_is_refused_and_told_so(running: Cluster, books: Books) -> None:
    key = books.create_key("dan", "--expires", "12s")
    soon(lambda: models(running, key), 200)
    soon(lambda: models(running, key), 401, within_s=30)
    assert "expired on" in models(running, key).json()["error"]["message"]


def test_a_key_is_good_for_its_models_only(running: Cluster, books: Books) -> None:
    other, own = books.create_key("eve", "--model", "other-*"), books.create_key("eve", "--model", f"{MODEL}@1")
    soon(lambda: complete(running, own), 200)
    assert complete(running, other).status_code == 403
    assert models(running, other).json()["data"] == []
    assert {each["id"] for each in models(running, own).json()["data"]} >= {f"{MODEL}@1"}


def test_a_limit_answers_429_with_what_is_left_and_when_there_is_more(running: Cluster, books: Books) -> None:
    key = books.create_key("fay", "--tenant", "fays", "--limit", "requests_per_minute=5")
    soon(lambda: models(running, key), 200)
    if time.time() % 60 > 45:
        time.sleep(16)  # all within one minute
    replies = [complete(running, key) for _ in range(30)]  # what one router holds, the other gets a moment later
    assert collections.Counter(reply.status_code for reply in replies) == {200: 5, 429: 25}
    refused = replies[-1]
    assert refused.headers["x-ratelimit-limit-requests"] == "5"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 0 < int(refused.headers["retry-after-ms"]) <= 60_000
    assert replies[0].headers["x-ratelimit-limit-requests"] == "5"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


def test_two_router_replicas_share_a_small_budget_and_do_not_overspend_it(running: Cluster, books: Books) -> None:
    limit, largest = 3000, 8 + 200
    key = books.create_key("gus", "--tenant", "guses", "--limit", f"tokens_per_day={limit}")
    soon(lambda: models(running, key), 200)
    with traffic(Target(running.base_url, MODEL, key), num_clients=12) as clients:
        eventually(lambda: sum(each.status == 429 for each in clients.answers) > 50, 120, "it is used up")
    used = tokens(record for record in books.records() if record.tenant == "guses")
    assert limit - largest <= used <= limit + 2 * largest
    assert {record.replica for record in books.records() if record.tenant == "guses"} == books.lease_holders()
    eventually(books.counts_all, 30, "all is counted")
    (total,) = (each for each in books.usage("tenant") if each["tenant"] == "guses")
    assert int(str(total["input_tokens"])) + int(str(total["output_tokens"])) == used


def test_no_key_is_in_what_is_kept(running: Cluster, books: Books) -> None:
    """Of all that the tests above have sent, in the journal, the database and Serve's logs."""
    key = books.create_key("hal")
    soon(lambda: complete(running, key), 200)
    secret = key.rpartition("-")[2].encode()
    folder = books.audit.parent
    for file in [*folder.rglob("*"), *running.serve_logs()]:
        assert not file.is_file() or secret not in file.read_bytes(), file


def test_over_tls_nothing_else_is_answered(tmp_path: Path) -> None:
    books = Books(f"sqlite:///{tmp_path / 'state.db'}", tmp_path / "audit")
    key = books.create_key("ann")
    certificate = make_certificate(tmp_path)
    options = {"host": "127.0.0.1", "port": free_port()}
    secure = {"ssl_keyfile": str(certificate.key), "ssl_certfile": str(certificate.certificate)}
    config = {"http_options": {**options, **secure}, "applications": [router_application(books)]}
    cluster = Cluster(config, tmp_path)
    try:
        cluster.wait_until_announced(timeout_s=120)
        headers = {"authorization": f"Bearer {key}"}
        url = f"https://127.0.0.1:{options['port']}/v1/models"
        trusting = ssl.create_default_context(cafile=str(certificate.certificate))
        assert httpx.get(url, headers=headers, verify=trusting, timeout=30).status_code == 200
        assert httpx.get(url, verify=trusting, timeout=30).status_code == 401
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(url, headers=headers, timeout=30)
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http"), headers=headers, timeout=30)
    finally:
        cluster.interrupt()


def test_without_keys_it_does_not_start_where_other_machines_reach_it(tmp_path: Path) -> None:
    books = Books(f"sqlite:///{tmp_path / 'state.db'}", tmp_path / "audit")
    options = {"host": "0.0.0.0", "port": free_port()}
    cluster = Cluster({"http_options": options, "applications": [router_application(books)]}, tmp_path)
    try:
        cluster.wait_until_announced(timeout_s=120)
        router = cluster.status()["router"]
        assert router["state"] == "failed"
        for words in ("0.0.0.0 is open to other machines, and there are no API keys", "stowage keys create"):
            assert words in router["reason"]
        assert httpx.get(f"http://127.0.0.1:{options['port']}/v1/models", timeout=30).status_code == 404
    finally:
        cluster.interrupt()
