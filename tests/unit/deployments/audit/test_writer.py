"""Lines reach the file at once, in order and chained, whatever the disk does."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.audit.record import LostRecords
from deployments.audit.verify import verify
from deployments.audit.writer import JournalLimits, JournalWriter
from models.errors import ConfigError
from tests.unit.deployments.audit.journals import (
    ONE_LINE,
    Clock,
    files,
    open_journal,
    read_all,
    request,
    request_ids,
    write_journal,
)


@contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """No file grows beyond ``limit`` bytes: as on a full disk, the kernel cuts the write that would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def newest_size(folder: Path) -> int:
    return files(folder)[-1].stat().st_size


def test_a_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for number in range(3):
        assert journal.append(request(number)) is None
        assert request_ids(tmp_path)[-1] == f"request-{number}"
    assert [path.name for path in files(tmp_path)] == ["router-1.00000001.jsonl"]
    assert stat.S_IMODE(files(tmp_path)[0].stat().st_mode) == 0o600
    journal.close()


def test_the_chain_is_what_the_document_says(tmp_path: Path) -> None:
    write_journal(tmp_path, 4, per_segment=2)
    previous, seq = "0" * 64, 0
    for path in files(tmp_path):
        for line in path.read_text().splitlines():
            body, _, end = line.rpartition(',"hash":"')
            assert hashlib.sha256((previous + body).encode()).hexdigest() + '"}' == end
            assert json.loads(line)["seq"] == seq
            previous, seq = end[:64], seq + 1
    assert seq == 4 + 3


def test_a_segment_ends_by_size(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, limits=JournalLimits(max_segment_bytes=2000))
    for number in range(10):
        journal.append(request(number))
        journal.tick()
    journal.close()
    sizes = [path.stat().st_size for path in files(tmp_path)]
    assert len(sizes) > 2
    assert all(2000 <= size < 2700 for size in sizes[:-1])
    assert verify(tmp_path).is_intact


def test_nobody_waits_for_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not when a segment ends."""
    journal, num_synced, sync = open_journal(tmp_path, limits=ONE_LINE), 0, os.fsync

    def append_meanwhile(handle: int) -> None:
        nonlocal num_synced
        num_synced += 1
        appending = threading.Thread(target=journal.append, args=(request(num_synced),))
        appending.start()
        appending.join(10)
        assert not appending.is_alive()
        sync(handle)

    journal.append(request(0))
    monkeypatch.setattr(os, "fsync", append_meanwhile)
    journal.tick()
    monkeypatch.undo()
    journal.close()
    assert (num_synced, len(files(tmp_path))) == (3, 3)  # the old segment, the new one, their folder
    assert verify(tmp_path).is_intact


def test_a_segment_ends_with_the_day_unless_it_is_empty(tmp_path: Path) -> None:
    clock = Clock()
    journal = open_journal(tmp_path, clock=clock)
    journal.append(request())
    journal.tick()
    clock.advance(hours=14, minutes=54)
    journal.tick()
    assert len(files(tmp_path)) == 1
    clock.advance(minutes=1)
    journal.tick()
    assert len(files(tmp_path)) == 2
    clock.advance(days=3)
    journal.tick()
    assert len(files(tmp_path)) == 2
    journal.close()


@pytest.mark.parametrize("num_requests", range(5))
@pytest.mark.parametrize("per_segment", range(1, 5))
def test_the_chain_goes_on_over_every_boundary(tmp_path: Path, num_requests: int, per_segment: int) -> None:
    write_journal(tmp_path, num_requests, per_segment=per_segment)
    write_journal(tmp_path, num_requests, per_segment=per_segment)
    report = verify(tmp_path)
    assert report.findings == ()
    assert report.num_lines == 2 * num_requests + report.num_segments
    assert len(request_ids(tmp_path)) == 2 * num_requests


def test_two_writers_of_one_name_are_refused(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(ConfigError, match="living process"):
        open_journal(tmp_path)
    journal.close()
    open_journal(tmp_path).close()


@pytest.mark.parametrize("writer", ["", "a/b", "../a", ".hidden", "a b", "router#1"])
def test_a_writer_s_name_is_a_file_s(tmp_path: Path, writer: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a journal file"):
        open_journal(tmp_path, writer)


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        open_journal(tmp_path / "file")


def test_half_a_line_that_a_crash_left_is_kept_and_told_by_the_next_segment(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    with files(tmp_path)[-1].open("ab") as file:
        file.write(b'{"seq":3,"id":"hal')
    write_journal(tmp_path, 1)
    (finding,) = verify(tmp_path).findings
    assert (finding.line, finding.is_damage) == (4, False)
    assert request_ids(tmp_path) == ["request-0", "request-1", "request-0"]


@pytest.mark.parametrize("room", [0, 1, 300, 600])
def test_a_full_disk_loses_nothing_while_memory_lasts(tmp_path: Path, room: int) -> None:
    journal = open_journal(tmp_path)
    journal.append(request(0))
    with largest_file(newest_size(tmp_path) + room):
        troubles = [journal.append(request(number)) for number in range(1, 4)]
        assert journal.tick() is not None
    last = troubles[-1]
    assert last is not None
    assert journal.trouble == last
    assert (last.since, journal.num_lost) == (Clock().time, 0)
    assert journal.append(request(4)) is not None
    assert journal.tick() is None
    assert journal.append(request(5)) is None
    assert journal.close() is None
    assert request_ids(tmp_path) == [f"request-{number}" for number in range(6)]
    assert verify(tmp_path).findings == ()


def test_what_memory_cannot_hold_is_counted_in_the_journal(tmp_path: Path) -> None:
    clock = Clock()
    journal = open_journal(tmp_path, clock=clock, limits=JournalLimits(max_waiting_bytes=1000))
    with largest_file(newest_size(tmp_path)):
        trouble = [journal.append(request(number)) for number in range(5)][-1]
    assert trouble is not None
    assert (trouble.num_waiting, journal.num_lost) == (2, 3)
    clock.advance(seconds=1)
    assert journal.tick() is None
    lost = read_all(tmp_path)[-1]
    assert isinstance(lost, LostRecords)
    assert (lost.count, lost.time - lost.since) == (3, clock.time - Clock().time)
    assert "bytes could be written" in lost.reason or "too large" in lost.reason
    assert journal.num_lost == 3
    journal.close()


def test_no_segment_begins_while_the_disk_is_full(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, limits=ONE_LINE)
    journal.append(request(0))
    with largest_file(50):
        assert journal.tick() is not None
        assert journal.append(request(1)) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["router-1.00000001.jsonl"]
    assert journal.tick() is None
    assert journal.close() is None
    assert request_ids(tmp_path) == ["request-0", "request-1"]
    assert verify(tmp_path).findings == ()


def test_a_segment_that_ends_with_a_failed_write_ends_with_a_whole_line(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, limits=ONE_LINE)
    journal.append(request(0))
    with largest_file(newest_size(tmp_path) + 100):
        assert journal.append(request(1)) is not None
    assert journal.close() is None
    assert files(tmp_path)[0].read_bytes().endswith(b"\n")
    assert request_ids(tmp_path) == ["request-0", "request-1"]
    assert verify(tmp_path).findings == ()


def test_a_removed_folder_is_made_again_and_the_loss_told(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    journal = open_journal(folder)
    journal.append(request(0))
    journal.append(request(1))
    shutil.rmtree(folder)
    journal.append(request(2))
    assert journal.tick() is None
    journal.append(request(3))
    journal.close()
    _, lost, last = read_all(folder)
    assert isinstance(lost, LostRecords)
    assert (lost.count, journal.num_lost) == (3, 3)
    assert last == request(3)
    assert "segments 1 to 1 before it are missing" in verify(folder).findings[0].problem


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.close()
    with (tmp_path / "other").open("wb") as other:  # gets the number of the handle that was closed
        assert journal.append(request()) is not None
        assert other.tell() == 0
    assert (tmp_path / "other").stat().st_size == 0


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, limits=JournalLimits(max_segment_bytes=20_000))
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            journal.tick()

    ticker = threading.Thread(target=tick)
    writers = [threading.Thread(target=append_many, args=(journal, each)) for each in range(4)]
    for thread in (ticker, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    ticker.join()
    assert journal.close() is None
    assert verify(tmp_path).findings == ()
    found = request_ids(tmp_path)
    for each in range(4):
        own = [f"request-{each * 1000 + number}" for number in range(250)]
        assert [name for name in found if name in set(own)] == own


def append_many(journal: JournalWriter, thread: int) -> None:
    for number in range(250):
        journal.append(request(thread * 1000 + number))
