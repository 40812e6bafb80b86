"""Models divided over several processes: in all ways, started together, and broken in the middle of work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.cluster import Cluster, eventually, run_command
from tests.integration.groups import (
    MODEL,
    QUESTIONS,
    Stream,
    answers,
    ask_all,
    group_app,
    processes,
    source_in,
    text_of,
    worker_pids,
)

TENSOR, PIPELINE, PAIR = (f"{MODEL}@{version}" for version in ("tensor", "pipeline", "pair"))
STALL_S = 6
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  it is only listed


@pytest.fixture(scope="module")
def expected(cluster: Cluster) -> list[str]:
    """What the undivided model answers."""
    return answers(cluster, f"{MODEL}@1")


@pytest.fixture(scope="module")
def divided(cluster: Cluster, store_folder: Path, expected: list[str]) -> Iterator[Cluster]:
    """Two groups, deployed at the same moment."""
    shared_memory = set(SHARED_MEMORY.iterdir())
    config = cluster.edited()
    config["applications"] += [
        group_app(store_folder, "tensor", parallel={"tensor": 3}),
        group_app(store_folder, "pipeline", parallel={"pipeline": 2}, stall_timeout_s=STALL_S),
    ]
    cluster.deploy(config)
    cluster.wait_status(TENSOR, "ready", 240)
    cluster.wait_status(PIPELINE, "ready", 240)
    yield cluster
    before = processes(cluster, TENSOR) + processes(cluster, PIPELINE)
    cluster.restore()
    eventually(lambda: not set(before) & cluster.descendants(), 60, "no process of a group is left")
    eventually(lambda: set(SHARED_MEMORY.iterdir()) <= shared_memory, 30, "no shared memory is left")


@pytest.mark.parametrize("name", [TENSOR, PIPELINE])
def test_a_divided_model_answers_as_the_whole_one(divided: Cluster, expected: list[str], name: str) -> None:
    assert answers(divided, name) == expected


@pytest.mark.parametrize(("name", "rank"), [(TENSOR, 0), (TENSOR, 1), (TENSOR, 2), (PIPELINE, 0), (PIPELINE, 1)])
def test_a_killed_rank_ends_its_group_which_starts_anew(
    divided: Cluster, expected: list[str], name: str, rank: int
) -> None:
    before = processes(divided, name)
    assert len(before) == (3 if name == TENSOR else 2)

    stream = stream_until(divided, name, lambda: os.kill(before[rank], signal.SIGKILL))

    assert stream.error
    assert (f"rank {rank} on node" in stream.error) if rank else ("died" in stream.error), stream.error
    wait_for_new_group(divided, name, before)
    assert answers(divided, name) == expected


def test_a_rank_that_hangs_is_found_by_its_pulse(divided: Cluster, expected: list[str]) -> None:
    before = processes(divided, PIPELINE)

    stream = stream_until(divided, PIPELINE, lambda: os.kill(before[1], signal.SIGSTOP))

    assert stream.error
    assert "rank 1 holds up the group" in stream.error, stream.error
    wait_for_new_group(divided, PIPELINE, before)
    assert answers(divided, PIPELINE) == expected


def test_no_rank_is_over_its_budget_with_sequences_in_it(divided: Cluster, expected: list[str]) -> None:
    assert answers(divided, TENSOR) == expected

    ranks = eventually(lambda: memory_of(divided, TENSOR, 3), 60, "all ranks have reported")

    assert [each for each in ranks if each["over_budget"]] == []


@pytest.fixture(scope="module")
def pair(cluster: Cluster, store_folder: Path) -> Iterator[Cluster]:
    """Up to two groups with one sequence at a time. There is none as yet."""
    config = cluster.edited()
    limits = {"max_model_len": 512, "max_num_seqs": 1}
    config["applications"].append(
        group_app(store_folder, "pair", parallel={"pipeline": 2}, min_replicas=0, max_replicas=2, limits=limits)
    )
    cluster.deploy(config)
    cluster.wait_status(PAIR, "asleep")
    yield cluster
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
    """Of the requests at the group that breaks one is being answered: of the others none has a token."""
    keep_busy(pair)
    victim = worker_pids(pair, PAIR)[0]

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_all, pair, PAIR)
        eventually(lambda: is_busy(victim), 30, "the group works")
        os.kill(victim, signal.SIGKILL)
        replies = asked.result(120)

    failed = [reply for reply in replies if reply.status_code != 200]
    assert len(failed) <= 1, [reply.text for reply in failed]
    assert all("rank 1 on node" in reply.text for reply in failed), [reply.text for reply in failed]
    right = zip(replies, expected, strict=True)
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


def memory_of(cluster: Cluster, name: str, num_ranks: int) -> list[dict[str, Any]] | None:
    """What ``stowage status`` has of each rank; None while some are missing."""
    shown = json.loads(run_command("stowage", "status", "--address", cluster.dashboard_url, "--json"))
    found: list[dict[str, Any]] = next(each["memory"] for each in shown if each["name"] == name)
    return found if len(found) == num_ranks else None


def is_busy(pid: int) -> bool:
    """Whether the process computes: an idle rank waits for a message."""
    return psutil.Process(pid).cpu_percent(0.1) > 20


def stream_until(cluster: Cluster, name: str, act: Callable[[], None]) -> Stream:
    """A stream in whose middle something happens."""
    stream = Stream(cluster, name)
    reader = threading.Thread(target=stream.read)
    reader.start()
    eventually(lambda: len(stream.pieces) > 3, 60, "the stream has begun")
    act()
    reader.join(90)
    assert not reader.is_alive()
    return stream


def wait_for_new_group(cluster: Cluster, name: str, before: list[int]) -> None:
    """All of its processes are others, and it serves."""
    eventually(lambda: not set(before) & cluster.descendants(), 60, "every process of the group is gone")
    eventually(lambda: len(processes(cluster, name)) == len(before), 120, "it has started anew")
    cluster.wait_status(name, "ready", 120)


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
