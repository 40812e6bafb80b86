"""The newest records of all writers, each once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deployments.audit.record import Record, RequestRecord
from deployments.audit.tail import Tail
from models.errors import ConfigError
from tests.unit.deployments.audit.journals import START, Clock, files, open_journal, request, write_journal


def ids(records: list[Record]) -> list[str]:
    return [record.id for record in records if isinstance(record, RequestRecord)]


def test_writers_are_merged_by_time_and_followed(tmp_path: Path) -> None:
    clock = Clock()
    one, two = open_journal(tmp_path, "router-1", clock), open_journal(tmp_path, "router-2", clock)
    for number in range(6):
        (two if number % 2 else one).append(request(number, time=START + timedelta(seconds=number)))
    tail = Tail(tmp_path)
    assert ids(tail.last(3)) == ["request-3", "request-4", "request-5"]
    assert tail.more() == []
    clock.advance(days=1)
    two.append(request(7, time=START + timedelta(seconds=7)))
    two.tick()
    one.append(request(6, time=START + timedelta(seconds=6)))
    three = open_journal(tmp_path, "router-3", clock)
    three.append(request(8, time=START + timedelta(seconds=8)))
    assert ids(tail.more()) == ["request-6", "request-7", "request-8"]
    assert tail.more() == []
    for journal in (one, two, three):
        journal.close()


def test_old_segments_are_left_alone(tmp_path: Path) -> None:
    write_journal(tmp_path, 9, per_segment=2)
    tail = Tail(tmp_path)
    assert ids(tail.last(100)) == ["request-6", "request-7", "request-8"]
    assert tail.more() == []


def test_none_are_asked_for_and_only_what_follows_comes(tmp_path: Path) -> None:
    write_journal(tmp_path, 3)
    tail = Tail(tmp_path)
    assert tail.last(0) == []
    write_journal(tmp_path, 1)
    assert ids(tail.more()) == ["request-0"]


def test_half_a_line_is_not_shown(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    path = files(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    tail = Tail(tmp_path)
    assert ids(tail.last(5)) == ["request-0"]
    path.write_bytes(content)
    assert ids(tail.more()) == ["request-1"]


def test_damage_is_told(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes() + b"what\n")
    with pytest.raises(ConfigError, match="damaged"):
        Tail(tmp_path).last(5)
