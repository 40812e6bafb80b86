"""Reading on from a cursor gives every complete line once, over rotation and while it is written."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.audit.chain import FIRST, seal
from deployments.audit.reader import Chunk, Cursor, pending, read_chunk
from deployments.audit.record import RequestRecord
from deployments.audit.segments import Segment, dead_writers, list_segments
from tests.unit.deployments.audit.journals import Clock, files, open_journal, request, write_journal


def read_on(folder: Path, cursors: dict[str, Cursor], max_bytes: int = 4096) -> list[str]:
    """The ids of what all writers have written since the ``cursors``, which move."""
    ids = []
    while waiting := pending(folder, {"router-1", "router-2"}, cursors):
        for cursor in waiting:
            chunk = read_chunk(folder, cursor, max_bytes)
            assert chunk.damage is None
            assert chunk.records
            cursors[cursor.file] = chunk.after
            ids += [record.id for record in chunk.records if isinstance(record, RequestRecord)]
    return ids


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    cursors: dict[str, Cursor] = {}
    journal = open_journal(tmp_path)
    journal.append(request(0))
    assert read_on(tmp_path, cursors) == ["request-0"]
    assert read_on(tmp_path, cursors) == []
    journal.append(request(1))
    journal.append(request(2))
    assert read_on(tmp_path, cursors) == ["request-1", "request-2"]
    journal.close()


@given(st.integers(0, 12), st.integers(1, 5), st.integers(1, 3000))
def test_every_line_once_whatever_the_segments_and_chunks(
    num_requests: int, per_segment: int, max_bytes: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_journal(folder, num_requests, per_segment=per_segment)
        cursors: dict[str, Cursor] = {}
        read = read_on(folder, cursors, max_bytes)
        assert sorted(read) == sorted(f"request-{number}" for number in range(num_requests))
        assert [cursor.offset for cursor in cursors.values()] == [path.stat().st_size for path in files(folder)]


def test_a_chunk_holds_what_it_may_and_at_least_one_line(tmp_path: Path) -> None:
    write_journal(tmp_path, 4)
    start = Cursor(files(tmp_path)[0].name)
    assert len(read_chunk(tmp_path, start, max_bytes=1).records) == 1
    assert len(read_chunk(tmp_path, start, max_bytes=1500).records) == 3
    assert len(read_chunk(tmp_path, start).records) == 5


def test_half_a_line_waits_for_its_rest(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    path = files(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    chunk = read_chunk(tmp_path, Cursor(path.name))
    assert len(chunk.records) == 2
    assert read_chunk(tmp_path, chunk.after) == Chunk((), chunk.after)
    path.write_bytes(content)
    assert read_chunk(tmp_path, chunk.after).records == (request(1),)


@pytest.mark.parametrize(
    ("old", "new", "num_read", "damage"),
    [
        (b'"id":"request-1"', b'"id":"request-7"', 2, "line 2 at byte"),
        (b'"writer":"router-1"', b'"writer":"router-2"', 0, "line 0 at byte 0 "),
        (b'{"seq":2', b"{'seq':2", 2, "no line of a journal"),
    ],
)
def test_reading_stops_at_a_line_that_is_not_as_it_was_written(
    tmp_path: Path, old: bytes, new: bytes, num_read: int, damage: str
) -> None:
    write_journal(tmp_path, 3)
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(old, new))
    chunk = read_chunk(tmp_path, Cursor(path.name))
    assert len(chunk.records) == num_read
    assert damage in str(chunk.damage)
    again = read_chunk(tmp_path, chunk.after)
    assert (again.records, again.after, again.damage) == ((), chunk.after, chunk.damage)


def test_the_beginning_of_a_segment_is_nowhere_else(tmp_path: Path) -> None:
    write_journal(tmp_path, 1)
    path = files(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    assert "line 0 at byte" in str(read_chunk(tmp_path, Cursor(path.name)).damage)


def test_a_record_of_a_kind_that_is_not_known_stops_it(tmp_path: Path) -> None:
    line, _ = seal(0, FIRST, b'{"kind":"later"}')
    (tmp_path / "router-1.00000001.jsonl").write_bytes(line)
    assert "later" in str(read_chunk(tmp_path, Cursor("router-1.00000001.jsonl", 0, FIRST)).damage)


def test_who_is_dead_and_who_only_rotates(tmp_path: Path) -> None:
    write_journal(tmp_path, 2, per_segment=1, writer="router-2")
    clock = Clock()
    living = open_journal(tmp_path, clock=clock)
    living.append(request())
    assert dead_writers(tmp_path) == {"router-2"}
    clock.advance(days=1)
    living.tick()
    assert len(list_segments(tmp_path)) == 5
    assert dead_writers(tmp_path) == {"router-2"}
    living.close()
    assert dead_writers(tmp_path) == {"router-1", "router-2"}
    assert dead_writers(tmp_path / "none") == frozenset()


def test_a_segment_that_is_pruned_meanwhile_has_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "router-1.00000001.jsonl").symlink_to(tmp_path / "gone")
    assert pending(tmp_path, {"router-1"}, {}) == []


def test_other_files_are_no_segments(tmp_path: Path) -> None:
    for name in ("notes.txt", "router-1.jsonl", "router-1.1.jsonl", ".router-1.00000001.jsonl.77"):
        (tmp_path / name).write_text("x")
    (tmp_path / "router.1.00000012.jsonl").write_text("x")
    assert list_segments(tmp_path) == [Segment("router.1", 12)]
