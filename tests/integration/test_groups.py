"""Models divided over several processes: in all ways, deployed together, and broken in the middle of work."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Cluster, eventually
from tests.integration.groups import (
    MODEL,
    Stream,
    answers,
    group_app,
    processes,
)

TENSOR, PIPELINE = f"{MODEL}@tensor", f"{MODEL}@pipeline"
STALL_S = 6
SHARED_MEMORY = re.compile(r"/dev/shm/\S+$", re.MULTILINE)  # noqa: S108  it is only looked for


@pytest.fixture(scope="module")
def expected(cluster: Cluster) -> list[str]:
    """What the undivided model answers."""
    return answers(cluster, f"{MODEL}@1")


@pytest.fixture(scope="module")
def divided(cluster: Cluster, store_folder: Path, expected: list[str]) -> Iterator[Cluster]:
    """Two groups, deployed at the same moment."""
    config = cluster.edited()
    config["applications"] += [
        group_app(store_folder, "tensor", parallel={"tensor": 3}),
        group_app(store_folder, "pipeline", parallel={"pipeline": 2}, stall_timeout_s=STALL_S),
    ]
    try:
        cluster.deploy(config)
        cluster.wait_status(TENSOR, "ready", 240)
        cluster.wait_status(PIPELINE, "ready", 240)
        yield cluster
        last = traces(processes(cluster, TENSOR) + processes(cluster, PIPELINE))
    finally:
        cluster.restore()
    assert len(last) >= 5
    wait_until_gone(last)


@pytest.mark.parametrize("name", [TENSOR, PIPELINE])
def test_a_divided_model_answers_as_the_whole_one(divided: Cluster, expected: list[str], name: str) -> None:
    assert answers(divided, name) == expected


@pytest.mark.parametrize(("name", "rank"), [(TENSOR, 0), (TENSOR, 1), (TENSOR, 2), (PIPELINE, 0), (PIPELINE, 1)])
def test_a_killed_rank_ends_its_group_which_starts_anew(
    divided: Cluster, expected: list[str], name: str, rank: int
) -> None:
    before = processes(divided, name)
    left = traces(before)
    assert len(before) == (3 if name == TENSOR else 2)

    stream = stream_until(divided, name, lambda: os.kill(before[rank], signal.SIGKILL))

    assert stream.error
    assert (f"rank {rank} on node" in stream.error) if rank else ("died" in stream.error), stream.error
    wait_for_new_group(divided, name, before, left)
    assert answers(divided, name) == expected


def test_a_rank_that_hangs_is_found_by_its_pulse(divided: Cluster, expected: list[str]) -> None:
    before = processes(divided, PIPELINE)
    left = traces(before)

    stream = stream_until(divided, PIPELINE, lambda: os.kill(before[1], signal.SIGSTOP))

    assert stream.error
    assert "rank 1 holds up the group" in stream.error, stream.error
    wait_for_new_group(divided, PIPELINE, before, left)
    assert answers(divided, PIPELINE) == expected


def test_no_rank_is_over_its_budget_with_sequences_in_it(divided: Cluster, expected: list[str]) -> None:
    assert answers(divided, TENSOR) == expected

    ranks = eventually(lambda: memory_of(divided, TENSOR, 3), 60, "all ranks have reported")

    assert [each for each in ranks if each["over_budget"]] == []


def memory_of(cluster: Cluster, name: str, num_ranks: int) -> list[dict[str, Any]] | None:
    """What ``stowage status`` has of each rank; None while some are missing."""
    found: list[dict[str, Any]] = cluster.status()[name]["memory"]
    return found if len(found) == num_ranks else None


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


def traces(pids: list[int]) -> set[Path]:
    """What the processes have of the machine: themselves, and the shared memory that is there under a name."""
    own = {Path(f"/proc/{pid}") for pid in pids}
    return own | {Path(found) for each in own for found in SHARED_MEMORY.findall((each / "maps").read_text())}


def wait_until_gone(left: set[Path]) -> None:
    eventually(lambda: not any(each.exists() for each in left), 60, f"nothing is left of {sorted(left)}")


def wait_for_new_group(cluster: Cluster, name: str, before: list[int], left: set[Path]) -> None:
    """Nothing is left of the one before, and another serves."""
    wait_until_gone(left)
    eventually(lambda: len(processes(cluster, name)) == len(before), 120, "it has started anew")
    cluster.wait_status(name, "ready", 120)
