"""Parts are killed in the middle of traffic: nothing hangs, nothing is wrong, and every token is accounted for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.cluster import Cluster, eventually
from tests.integration.postgres import PostgresServer
from tests.integration.routers import MODEL, Books, all_say, controller_pid, models, tokens, two_routers
from tests.integration.traffic import TIMEOUT_S, Answer, Target, references, traffic

DAILY_LIMIT = 2_000_000
LIMITED = 5_000
"""Tokens per day of a tenant that uses them up while a router replica dies."""

LARGEST = 8 + 200
"""Tokens of the largest request."""

Texts = dict[tuple[int, int], str]

CLEAN = {429, 502, 503, 504}
"""What a client may see of a fault, in a response of ours."""


@pytest.fixture(scope="module")
def books(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Books:
    return Books(postgres_server.new_database(), tmp_path_factory.mktemp("faults") / "audit")


@pytest.fixture(scope="module")
def key(books: Books) -> str:
    return books.create_key("ann", "--tenant", "acme", "--limit", f"tokens_per_day={DAILY_LIMIT}")


@pytest.fixture(scope="module")
def running(books: Books, key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    policy = {
        "tenants": {
            "acme": {"limits": {"concurrent_requests": 64}},
            "few": {"limits": {"tokens_per_day": LIMITED}},
        }
    }
    cluster = Cluster(two_routers(folder, books, policy, keys="required"), folder)
    try:
        cluster.wait_until_announced(timeout_s=240)
        eventually(lambda: len(cluster.pids("router")) == len(cluster.pids(f"{MODEL}@1")) == 2, 60, "all are up")
        yield cluster
    finally:
        cluster.interrupt()


@pytest.fixture(scope="module")
def target(running: Cluster, key: str) -> Target:
    return Target(running.base_url, MODEL, key)


@pytest.fixture(scope="module")
def expected(target: Target) -> Texts:
    return references(target)


def under_fire(
    target: Target, fault: Callable[[], None], before_s: float = 2.0, after_s: float = 6.0
) -> list[Answer]:
    """What clients saw while it happened."""
    with traffic(target) as running:
        eventually(lambda: running.num_finished > 20, 60, "requests are answered")
        time.sleep(before_s)
        num_before = running.num_finished
        fault()
        time.sleep(after_s)
        eventually(lambda: running.num_finished > num_before + 20, 60, "requests are answered again")
    return running.answers


def check(answers: list[Answer], expected: Texts) -> None:
    """Each ended in time; what came is right; what failed says so."""
    for answer in answers:
        assert answer.seconds < TIMEOUT_S + 5, answer
        text = expected[answer.prompt, answer.max_tokens]
        assert text == answer.text if answer.finished else text.startswith(answer.text), answer
        if answer.finished:
            continue
        if not answer.left and not answer.cut:
            assert answer.error, answer


def failed(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if not answer.finished and not answer.left]


def unclean(answers: list[Answer]) -> list[Answer]:
    """Those that failed with anything but an error of the protocol."""
    return [each for each in failed(answers) if not each.is_ours or not (each.status in CLEAN or each.streamed)]


def reconcile(books: Books, answers: list[Answer]) -> None:
    """Each answered request is in the journal once, with the tokens that its client counted, and no line is lost
    or doubled on the way to the database."""
    eventually(books.counts_all, 60, "the database has counted the whole journal")
    records = {record.id: record for record in books.records()}
    assert len(records) == len(books.records())
    for answer in answers:
        if answer.finished:
            assert tokens([records[answer.id]]) == answer.tokens, (answer, records[answer.id])
    assert books.is_intact()


def spent(books: Books, tenant: str) -> int:
    return tokens(record for record in books.records() if record.tenant == tenant)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_a_model_replica_is_killed(running: Cluster, target: Target, books: Books, expected: Texts) -> None:
    before = running.pids(f"{MODEL}@1")
    answers = under_fire(target, lambda: kill(min(before)))
    check(answers, expected)
    assert unclean(answers) == []
    eventually(lambda: len(running.pids(f"{MODEL}@1") - {min(before)}) == 2, 90, "the replica is replaced")
    reconcile(books, answers)


def test_a_router_replica_is_killed(running: Cluster, target: Target, books: Books, expected: Texts) -> None:
    before, holders = running.pids("router"), books.lease_holders()
    assert len(holders) == 2
    few = books.create_key("bob", "--tenant", "few")
    eventually(lambda: all_say(lambda: models(running, few), 200), 20, "both routers know the key")
    with traffic(Target(target.base_url, MODEL, few), num_clients=3) as limited:
        answers = under_fire(target, lambda: kill(min(before)))
        eventually(lambda: spent(books, "few") >= 0.9 * LIMITED, 90, "what the dead replica held is used")
        eventually(lambda: limited.answers[-1].status == 429, 30, "nothing is left")
    check([*answers, *limited.answers], expected)
    assert unclean([*answers, *limited.answers]) == []
    eventually(lambda: len(running.pids("router") - {min(before)}) == 2, 90, "the router replica is replaced")
    eventually(lambda: len(holders & books.lease_holders()) == 1, 60, "the dead replica holds nothing")
    reconcile(books, [*answers, *limited.answers])
    assert spent(books, "few") <= LIMITED + 3 * LARGEST  # one request beyond it for each router replica there was


def test_the_state_database_is_killed(
    running: Cluster, target: Target, books: Books, expected: Texts, postgres_server: PostgresServer
) -> None:
    def fault() -> None:
        try:
            postgres_server.kill()
            time.sleep(6)
        finally:
            postgres_server.start()

    answers = under_fire(target, fault)
    check(answers, expected)
    assert failed(answers) == []
    reconcile(books, answers)


def test_the_controller_is_killed(running: Cluster, target: Target, books: Books, expected: Texts) -> None:
    before = controller_pid(running)
    assert before is not None
    answers = under_fire(target, lambda: kill(before), after_s=10)
    check(answers, expected)
    assert failed(answers) == []
    eventually(lambda: controller_pid(running) not in (None, before), 60, "there is a controller again")
    reconcile(books, answers)
