"""kill -9 loses nothing that was acknowledged."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from deployments.audit.segments import dead_writers
from deployments.audit.verify import verify
from deployments.audit.writer import JournalLimits
from models.errors import ConfigError
from tests.unit.deployments.audit.journals import open_journal, request, request_ids

FORK = multiprocessing.get_context("fork")


def write_for_ever(folder: Path, first: int, acknowledge: Connection) -> None:
    journal = open_journal(folder, limits=JournalLimits(max_segment_bytes=30_000))
    number = first
    while True:
        if journal.append(request(number)) is None:
            acknowledge.send_bytes(b"%d" % number)
        number += 1
        if number % 50 == 0:
            journal.tick()


def drain(acknowledged: Connection) -> int:
    """The last number that a process, killed by now, has acknowledged."""
    last = -1
    try:
        while True:
            last = int(acknowledged.recv_bytes())
    except EOFError:
        return last


def test_a_killed_process_loses_nothing_twenty_times_in_a_row(tmp_path: Path) -> None:
    chance = random.Random(4)  # noqa: S311  when to kill
    first = 0
    for _ in range(20):
        acknowledged, acknowledge = FORK.Pipe(duplex=False)
        process = FORK.Process(target=write_for_ever, args=(tmp_path, first, acknowledge))
        process.start()
        acknowledge.close()
        assert acknowledged.poll(10)
        assert dead_writers(tmp_path) == frozenset()
        time.sleep(chance.uniform(0.0, 0.02))
        process.kill()
        process.join()
        last = drain(acknowledged)
        acknowledged.close()
        found = request_ids(tmp_path)
        assert dead_writers(tmp_path) == {"router-1"}
        assert last >= first
        assert found == [f"request-{number}" for number in range(len(found))]
        assert last < len(found) <= last + 2  # written, and killed before it could say so
        first = len(found)
    assert verify(tmp_path).is_intact


def test_only_one_of_two_processes_gets_a_name(tmp_path: Path) -> None:
    acknowledged, acknowledge = FORK.Pipe(duplex=False)
    process = FORK.Process(target=write_for_ever, args=(tmp_path, 0, acknowledge))
    process.start()
    assert acknowledged.poll(10)
    with pytest.raises(ConfigError, match="living process"):
        open_journal(tmp_path)
    process.kill()
    process.join()
    open_journal(tmp_path).close()
