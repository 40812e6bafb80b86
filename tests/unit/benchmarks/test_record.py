from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from benchmarks.record import Machine, Record, keep, save, this_machine
from benchmarks.tables import Table
from models.errors import StowageError


@dataclass(frozen=True)
class Lap:
    speed: float
    names: tuple[str, ...]


@pytest.fixture
def record() -> Record:
    return Record(
        name="race",
        claim="Who is faster.",
        method=["Laps: two"],
        tables=[Table("Laps", ("", "speed"), (("ours", "4"),))],
        samples=[Lap(4.0, ("a", "b"))],
        machine=Machine("EPYC", 2, 8 * 1024**3, "Linux 6", 0.1),
        command="python -m benchmarks.race",
        date=date(2026, 11, 22),
    )


def test_a_result_says_where_when_and_how_it_was_got(record: Record, tmp_path: Path) -> None:
    text = save(record, tmp_path).read_text()
    for fact in (
        "2026-11-22",
        "`python -m benchmarks.race`",
        "2 x EPYC, 8.0 GiB",
        "ray 2.",
        "Laps: two",
        "| ours | 4 |",
    ):
        assert fact in text


def test_all_samples_are_kept(record: Record, tmp_path: Path) -> None:
    facts = json.loads(save(record, tmp_path).with_suffix(".json").read_text())
    assert facts["samples"] == [{"speed": 4.0, "names": ["a", "b"]}]
    assert facts["machine"]["num_cores"] == 2


def test_no_result_replaces_another(record: Record, tmp_path: Path) -> None:
    paths = [save(replace(record, claim=claim), tmp_path) for claim in ("first", "second", "third")]
    assert [path.name for path in paths] == [
        "2026-11-22-race.md",
        "2026-11-22-race-2.md",
        "2026-11-22-race-3.md",
    ]
    assert ["first" in path.read_text() for path in paths] == [True, False, False]


def test_what_stops_a_benchmark_is_told_with_its_remedy(tmp_path: Path) -> None:
    def run() -> Record:
        raise StowageError("wrk is not installed", remedy="install it")

    with pytest.raises(SystemExit, match=r"^error: wrk is not installed \(install it\)$"):
        keep(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_no_path_of_this_machine(record: Record) -> None:
    command = Record(record.name, record.claim, [], [], [], record.machine).command
    assert command.startswith("python ")
    assert os.sep not in command.split()[0]


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert machine.num_cores == os.cpu_count()
    assert machine.memory_bytes > 256 * 1024**2
    assert machine.processor
