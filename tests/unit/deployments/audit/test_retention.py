"""Old segments go, on purpose and visibly."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.removal import read_removals
from deployments.audit.retention import Retention
from deployments.audit.segments import list_segments
from deployments.audit.verify import verify
from models.errors import ConfigError
from tests.unit.deployments.audit.journals import START, Clock, files, open_journal, request, write_journal

BEFORE = START - timedelta(days=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two closed writers with segments of 3, 3 and 2 lines, last written 42, 41 and 40 days ago."""
    for writer in ("router-1", "router-2"):
        write_journal(tmp_path, 5, per_segment=2, writer=writer)
    for segment in list_segments(tmp_path):
        set_age(tmp_path / segment.file, days=43 - segment.number)
    return tmp_path


def set_age(path: Path, days: float) -> None:
    written = (START - timedelta(days=days)).timestamp()
    os.utime(path, (written, written))


def counted(folder: Path) -> dict[str, Cursor]:
    return {path.name: read_chunk(folder, Cursor(path.name)).after for path in files(folder)}


def prune(
    folder: Path, before: datetime = BEFORE, run: str = "a", cursors: dict[str, Cursor] | None = None
) -> list[str]:
    retention = Retention(folder, run, cursors or counted(folder), Clock())
    return [segment.file for segment in retention.prune(before, "cli:ann")]


def names(folder: Path) -> list[str]:
    return [path.name for path in files(folder)]


def test_what_is_old_goes_and_the_chain_is_intact(folder: Path) -> None:
    anchors = counted(folder).values()
    removed = prune(folder, START - timedelta(days=40, hours=12))
    assert removed == [f"router-{writer}.0000000{number}.jsonl" for writer in (1, 2) for number in (1, 2)]
    assert names(folder) == [
        "retention-a.00000001.jsonl", "router-1.00000003.jsonl", "router-2.00000003.jsonl",
    ]  # fmt: skip
    report = verify(folder, anchors, is_whole=True)
    assert (report.findings, report.elsewhere) == ((), ())
    assert {writer: end.number for writer, end in report.removals.items()} == {"router-1": 2, "router-2": 2}


def test_it_can_be_done_again_and_to_the_end(folder: Path) -> None:
    anchors = counted(folder).values()
    prune(folder, START - timedelta(days=41, hours=12))
    assert len(prune(folder, run="b")) == 4
    assert names(folder) == ["retention-a.00000001.jsonl", "retention-b.00000001.jsonl"]
    assert prune(folder, run="c") == []
    assert verify(folder, anchors, is_whole=True).findings == ()


def test_nothing_to_remove_writes_nothing(folder: Path) -> None:
    assert prune(folder, START - timedelta(days=50)) == []
    assert len(names(folder)) == 6


def test_a_living_writer_keeps_its_newest_segment(tmp_path: Path) -> None:
    clock = Clock()
    journal = open_journal(tmp_path, clock=clock)
    journal.append(request())
    clock.advance(days=1)
    journal.tick()
    for path in files(tmp_path):
        set_age(path, days=40)
    assert prune(tmp_path) == ["router-1.00000001.jsonl"]
    journal.append(request())
    journal.close()
    assert verify(tmp_path).findings == ()


def test_what_is_not_counted_to_its_end_stays(folder: Path) -> None:
    behind = {"router-1.00000002.jsonl": Cursor("router-1.00000002.jsonl")}
    assert prune(folder, cursors={**counted(folder), **behind}) == [
        "router-1.00000001.jsonl", *(f"router-2.0000000{number}.jsonl" for number in (1, 2, 3)),
    ]  # fmt: skip


def test_a_damaged_journal_is_not_pruned(folder: Path) -> None:
    path = files(folder)[3]
    cursors = counted(folder)
    path.write_bytes(path.read_bytes().replace(b"request-1", b"request-7"))
    with pytest.raises(ConfigError, match="damaged"):
        Retention(folder, "a", cursors, Clock()).prune(BEFORE, "cli:ann")
    assert len(names(folder)) == 6


def test_pruning_that_was_cut_short_is_no_damage(folder: Path) -> None:
    kept = {path: path.read_bytes() for path in files(folder)[1:3]}
    prune(folder)
    for path, content in kept.items():
        path.write_bytes(content)
        set_age(path, days=40)
    assert verify(folder).findings == ()
    assert len(prune(folder, run="b")) == 2
    assert read_removals(folder)["router-1"].number == 3


def test_more_than_the_note_says_is_missed(folder: Path) -> None:
    prune(folder, START - timedelta(days=41, hours=12))
    (folder / "router-1.00000002.jsonl").unlink()
    (found,) = verify(folder).findings
    assert "segments 2 to 2 before it are missing" in found.problem


def test_a_note_for_another_chain_does_not_help(folder: Path) -> None:
    prune(folder, START - timedelta(days=41, hours=12))
    path = folder / "router-1.00000002.jsonl"
    other = (folder / "router-2.00000002.jsonl").read_text()
    path.write_text(other.replace('"writer":"router-2"', '"writer":"router-1"'))
    assert not verify(folder).is_intact


def test_half_a_line_before_a_removal_is_known(folder: Path) -> None:
    last = folder / "router-1.00000003.jsonl"
    with last.open("ab") as file:
        file.write(b'{"se')
    write_journal(folder, 1)
    set_age(last, days=40)
    assert last.name in prune(folder, datetime(2026, 7, 1, tzinfo=UTC))
    assert verify(folder).findings == ()
