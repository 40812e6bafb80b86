"""Whatever is done to a journal after it was written is found, and the first bad line named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.audit.chain import FIRST, read_line, seal
from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.segment_check import Finding
from deployments.audit.verify import verify
from tests.unit.deployments.audit.journals import files, open_journal, write_journal

LAST = "router-1.00000003.jsonl"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two writers, closed. The second has segments of 3, 3 and 2 lines."""
    folder = tmp_path_factory.mktemp("journal")
    write_journal(folder, 2, writer="router-0")
    write_journal(folder, 5, per_segment=2)
    return folder


@contextmanager
def put_back(folder: Path) -> Iterator[None]:
    """Undo what the body does to the files."""
    before = {path: path.read_bytes() for path in files(folder)}
    try:
        yield
    finally:
        for path in files(folder):
            path.unlink()
        for path, content in before.items():
            path.write_bytes(content)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def ends(folder: Path) -> list[Cursor]:
    """The ends of all segments, as the state database knows them."""
    return [read_chunk(folder, Cursor(path.name)).after for path in files(folder)]


def test_what_is_as_it_was_written_is_intact(journal: Path) -> None:
    report = verify(journal, ends(journal), is_whole=True)
    assert (report.num_writers, report.num_segments, report.num_lines) == (2, 4, 3 + 8)
    assert (report.findings, report.elsewhere) == ((), ())
    assert report.is_intact


def test_an_empty_folder_and_none_are_intact(tmp_path: Path) -> None:
    assert verify(tmp_path).is_intact
    assert verify(tmp_path / "none").is_intact


@given(st.data())
def test_any_changed_byte_is_found(journal: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files(journal)))
    content = bytearray(path.read_bytes())
    offset = data.draw(st.integers(0, len(content) - 1))
    content[offset] ^= data.draw(st.integers(1, 255))
    first_bad = bytes(content[:offset]).count(b"\n") + 1
    with put_back(journal):
        path.write_bytes(content)
        (first, *_) = verify(journal).findings
    assert (first.file, first.line) == (path.name, first_bad)


def test_every_line_that_is_removed_copied_or_moved_is_found(journal: Path) -> None:
    anchors = ends(journal)
    for path in files(journal):
        lines = lines_of(path)
        for index in range(len(lines)):
            for changed in rearranged(lines, index):
                with put_back(journal):
                    path.write_bytes(b"".join(changed))
                    report = verify(journal, anchors)
                assert path.name in {finding.file for finding in report.findings if finding.is_damage}


def rearranged(lines: list[bytes], index: int) -> Iterator[list[bytes]]:
    yield lines[:index] + lines[index + 1 :]
    yield lines[: index + 1] + lines[index:]
    if index:
        yield [*lines[: index - 1], lines[index], lines[index - 1], *lines[index + 1 :]]


@given(st.data())
def test_any_other_order_is_found_without_anchors(journal: Path, data: st.DataObject) -> None:
    path = files(journal)[1]
    lines = lines_of(path)
    changed = data.draw(st.lists(st.sampled_from(lines), max_size=6).filter(lambda drawn: drawn != lines))
    with put_back(journal):
        path.write_bytes(b"".join(changed))
        assert not verify(journal).is_intact


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def edited(old: str, new: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> object:
        path = files(folder)[2]
        return path.write_text(path.read_text().replace(old, new))

    return edit


@pytest.mark.parametrize(
    ("edit", "file", "line", "problem"),
    [
        (edited('"id":"request-3"', '"id":"request-9"'), 2, 3, "not as it was written"),
        (edited('"kind"', '"kinds"'), 2, 1, "not the line that begins a segment"),
        (edited('"number":2', '"number":4'), 2, 1, "not as it was written"),
        (edited("\n", " \n"), 2, 1, "not the line that begins a segment"),
        (lambda folder: files(folder)[2].unlink(), 3, 1, "segments 2 to 2 before it are missing"),
        (lambda folder: files(folder)[1].unlink(), 2, 1, "segments 1 to 1 before it are missing"),
        (lambda folder: files(folder)[2].write_bytes(b""), 2, 0, "no complete line"),
        (lambda folder: files(folder)[1].rename(folder / "router-2.00000001.jsonl"), 2, 1, "segments 1 to 1"),
        (lambda folder: files(folder)[0].rename(folder / LAST), 3, 1, "beginning of router-0.00000001.jsonl"),
        (lambda folder: append(files(folder)[1], b"x"), 1, 4, "1 bytes of half"),
    ],
)  # fmt: skip
def test_the_first_bad_line_is_named(
    journal: Path, edit: Callable[[Path], object], file: int, line: int, problem: str
) -> None:
    with put_back(journal):
        name = files(journal)[file].name
        edit(journal)
        report = verify(journal)
    found = [finding for finding in report.findings if finding.file == name]
    assert not report.is_intact
    assert (found[0].line, problem in found[0].problem) == (line, True), report.findings


def test_each_bad_line_is_told_once_and_the_rest_is_checked_on(journal: Path) -> None:
    with put_back(journal):
        edited('"id":"request-3"', '"id":"request-9"')(journal)
        edited('"id":"request-2"', '"id":"request-8"')(journal)
        found = verify(journal).findings
    assert [(finding.file, finding.line) for finding in found] == [
        (files(journal)[2].name, line) for line in (2, 3)
    ]


def test_half_a_line_at_the_end_is_no_damage(journal: Path) -> None:
    with put_back(journal):
        append(journal / LAST, b'{"seq":8,"i')
        report = verify(journal, ends(journal))
    assert report.is_intact
    assert report.findings == (
        Finding(LAST, 3, "11 bytes of half a line, as a crash leaves them", is_damage=False),
    )


def test_half_a_line_of_a_living_writer_is_on_its_way(tmp_path: Path) -> None:
    writer = open_journal(tmp_path)
    with files(tmp_path)[0].open("ab") as file:
        file.write(b'{"seq":1,"i')
    assert verify(tmp_path).findings == ()
    writer.close()
    assert len(verify(tmp_path).findings) == 1


def rewrite(path: Path, previous: str, change: Callable[[dict[str, object]], None]) -> None:
    """What someone can do who knows the format: a new chain over other lines."""
    content = b""
    for raw in lines_of(path):
        fields = json.loads(raw)
        seq = fields.pop("seq")
        del fields["hash"]
        change(fields)
        line, previous = seal(seq, previous, json.dumps(fields, separators=(",", ":")).encode())
        content += line
    path.write_bytes(content)


def test_a_chain_made_anew_is_found_by_what_was_counted(journal: Path) -> None:
    anchors = ends(journal)
    with put_back(journal):
        rewrite(files(journal)[0], FIRST, lambda fields: fields.update(tenant="someone"))
        assert verify(journal).is_intact
        report = verify(journal, anchors)
    assert not report.is_intact
    assert {finding.file for finding in report.findings} == {files(journal)[0].name}


@pytest.mark.parametrize("kept", [0, 1])
def test_lines_missing_at_the_very_end_are_found_by_what_was_counted(journal: Path, kept: int) -> None:
    anchors = ends(journal)
    with put_back(journal):
        path = journal / LAST
        path.write_bytes(b"".join(lines_of(path)[:kept]))
        assert verify(journal).is_intact is (kept > 0)
        found = verify(journal, anchors).findings
    assert "it was counted up to byte" in found[-1].problem


def test_an_anchor_in_the_middle_holds_the_line_before_it(journal: Path) -> None:
    path = files(journal)[1]
    lines = lines_of(path)
    line = read_line(lines[1])
    assert line
    cursor = Cursor(path.name, len(lines[0] + lines[1]), line.hash)
    assert verify(journal, [cursor]).is_intact
    (found,) = verify(journal, [Cursor(path.name, cursor.offset, "0" * 64)]).findings
    assert found.line == 2
    (found,) = verify(journal, [Cursor(path.name, cursor.offset + 1, line.hash)]).findings
    assert "no line ends" in found.problem


def test_missing_files_that_were_counted(journal: Path) -> None:
    anchors = ends(journal)
    with put_back(journal):
        files(journal)[0].unlink()
        (journal / LAST).unlink()
        report = verify(journal, anchors)
        whole = verify(journal, anchors, is_whole=True)
    assert [finding.file for finding in report.findings] == [LAST]
    assert report.elsewhere == ("router-0.00000001.jsonl",)
    assert [finding.file for finding in whole.findings] == ["router-0.00000001.jsonl", LAST]


def test_a_foreign_line_is_no_line(journal: Path) -> None:
    with put_back(journal):
        path = files(journal)[0]
        path.write_bytes(b"".join([*lines_of(path), b"hello\n", b"\n"]))
        found = verify(journal).findings
    assert [(finding.line, finding.problem) for finding in found] == [
        (line, "this is no line of a journal") for line in (4, 5)
    ]


def test_a_record_added_at_the_end_without_its_hash(journal: Path) -> None:
    with put_back(journal):
        path = journal / LAST
        forged = lines_of(path)[-1].replace(b'"seq":7', b'"seq":8')
        append(path, forged)
        (found,) = verify(journal).findings
    assert (found.file, found.line) == (LAST, 3)
