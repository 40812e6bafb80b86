"""Groups of ranks that are woken, added by load, replaced for each other, and those that cannot start."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.integration.cluster import Cluster, eventually
from tests.integration.groups import (
    MODEL,
    QUESTIONS,
    answers,
    ask_all,
    group_app,
    processes,
    source_in,
    text_of,
    worker_pids,
)

PAIR = f"{MODEL}@pair"


@pytest.fixture(scope="module")
def expected(cluster: Cluster) -> list[str]:
    """What the undivided model answers."""
    return answers(cluster, f"{MODEL}@1")


@pytest.fixture(scope="module")
def pair(cluster: Cluster, store_folder: Path) -> Iterator[Cluster]:
    """Up to two groups with one sequence at a time, which stay when there were two. There is none as yet."""
    config = cluster.edited()
    number = {"min_replicas": 0, "max_replicas": 2, "scaling": {"down_window_s": 600, "idle_s": 600}}
    limits = {"max_model_len": 512, "max_num_seqs": 1}
    config["applications"].append(
        group_app(store_folder, "pair", parallel={"pipeline": 2}, limits=limits, **number)
    )
    try:
        cluster.deploy(config)
        cluster.wait_status(PAIR, "asleep")
        yield cluster
    finally:
        cluster.restore()
    eventually(lambda: not worker_pids(cluster), 60, "no worker is left")


def keep_busy(cluster: Cluster) -> None:
    """Ask for more than one group holds, until there are two; some of it may be refused."""
    eventually(
        lambda: ask_all(cluster, PAIR) and len(processes(cluster, PAIR)) == 4, 300, "load has brought two groups"
    )


def test_a_sleeping_group_is_woken_and_load_adds_another(pair: Cluster, expected: list[str]) -> None:
    assert processes(pair, PAIR) == []
    assert answers(pair, PAIR, QUESTIONS[:1]) == expected[:1]
    assert len(processes(pair, PAIR)) == 2
    keep_busy(pair)
    assert answers(pair, PAIR, QUESTIONS[:2]) == expected[:2]


def test_another_group_answers_what_has_no_token_yet(pair: Cluster, expected: list[str]) -> None:
    """Of the requests at the group that breaks one is being answered: of the others none has a token.

    There are as many as both groups take, and few enough that the router refuses none of them.
    """
    keep_busy(pair)
    victim = worker_pids(pair, PAIR)[0]

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_all, pair, PAIR, QUESTIONS[:4])
        eventually(lambda: is_busy(victim), 30, "the group works")
        os.kill(victim, signal.SIGKILL)
        replies = asked.result(120)

    failed = [reply for reply in replies if reply.status_code != 200]
    assert len(failed) <= 1, [reply.text for reply in failed]
    assert all("rank 1 on node" in reply.text for reply in failed), [reply.text for reply in failed]
    right = zip(replies, expected[:4], strict=True)
    assert all(text_of(reply) == text for reply, text in right if reply.status_code == 200)
    eventually(lambda: len(processes(pair, PAIR)) == 4, 120, "both groups are up again")


def test_what_hinders_a_group_has_a_name(cluster: Cluster, store_folder: Path, tmp_path: Path) -> None:
    reasons = {
        "corrupt": "shard files: model.safetensors has SHA-256",
        "missing": "shard files: model.safetensors",
        "wrong": "2 does not divide 9 heads and 3 KV heads",
    }
    config = cluster.edited()
    for version in reasons:
        parallel = {"tensor": 2} if version == "wrong" else {"pipeline": 2}
        config["applications"].append(group_app(tmp_path, version, parallel=parallel))
        break_weights(copy_version(store_folder, tmp_path, version), version)

    cluster.deploy(config)
    try:
        eventually(lambda: all(is_told(cluster, *each) for each in reasons.items()), 180, "all reasons are told")
    finally:
        cluster.restore()
    eventually(lambda: not worker_pids(cluster), 60, "no worker is left")


def is_told(cluster: Cluster, version: str, reason: str) -> bool:
    state = cluster.readiness().get(f"{MODEL}@{version}")
    return state is not None and not state["ready"] and reason in (state["reason"] or "")


def is_busy(pid: int) -> bool:
    """Whether the process computes: an idle rank waits for a message."""
    return psutil.Process(pid).cpu_percent(0.1) > 20


def copy_version(store: Path, target: Path, version: str) -> Path:
    """The demonstration's model as another version in a store of its own; the folder of its files."""
    folder = target / MODEL / version
    shutil.copytree(store / MODEL / "1", folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    for path in (folder, manifest):
        path.chmod(0o755)
    manifest.write_text(json.dumps({**content, "version": version, "source": source_in(target)}))
    return folder


def break_weights(folder: Path, how: str) -> None:
    path = folder / "model.safetensors"
    path.chmod(0o644)
    if how == "missing":
        path.unlink()
    if how == "corrupt":
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
