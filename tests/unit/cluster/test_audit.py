"""``stowage audit``, on real journals and a real state database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import AdminRecord, LostRecords, Outcome
from deployments.audit.segments import list_segments
from deployments.state.database import Database
from deployments.state.projection import project, read_cursors
from tests.unit.cluster.conftest import Stowage
from tests.unit.deployments.audit.journals import START, files, open_journal, request, write_journal
from tests.unit.source_tree import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal with segments of 3, 3 and 2 lines, the first two last written 42 and 41 days ago."""
    folder = tmp_path / "audit"
    write_journal(folder, 5, per_segment=2)
    for path, days in zip(files(folder), (42, 41), strict=False):
        written = (START - timedelta(days=days)).timestamp()
        os.utime(path, (written, written))
    return folder


@pytest.fixture
def state(tmp_path: Path, folder: Path) -> str:
    """The URL of a database that has counted all of it."""
    url = f"sqlite:///{tmp_path}/state.db"
    with Database.open(url) as database, database.transaction() as connection:
        for segment in list_segments(folder):
            start = Cursor(segment.file)
            project(connection, start, read_chunk(folder, start))
    return url


@pytest.fixture
def config(tmp_path: Path, folder: Path, state: str) -> Path:
    path = tmp_path / "serve_config.yaml"
    args = json.dumps({"state": state, "audit_dir": str(folder)})
    path.write_text(f"applications: [{{name: router, import_path: deployments.app:build_router, args: {args}}}]")
    return path


def test_the_database_knows_how_far_it_has_counted(state: str, folder: Path) -> None:
    with Database.open(state) as database, database.read() as connection:
        cursors = read_cursors(connection)
    assert {file: cursor.offset for file, cursor in cursors.items()} == {
        path.name: path.stat().st_size for path in files(folder)
    }


def test_an_intact_journal(stowage: Stowage, folder: Path, state: str) -> None:
    shown = stowage("audit", "verify", folder)
    assert shown.code == 0
    assert f"8 lines in 3 segments of 1 writers in {folder}: intact." in shown.out
    assert "Not held against the state database" in shown.out
    assert "Not held" not in stowage("audit", "verify", folder, "--state", state).out


def test_the_help_speaks_of_a_database_only_where_one_is_asked(stowage: Stowage) -> None:
    shown = {each: stowage("audit", each, "--help").out for each in ("verify", "tail", "shadows", "prune")}
    speaks = {
        each for each, text in shown.items() if "database" in " ".join(text.split()).partition("Options:")[2]
    }
    has_default = {each for each, text in shown.items() if "sqlite:///~" in text}
    assert (speaks, has_default) == ({"verify", "prune"}, {"prune"})


def test_damage_is_exit_code_1_with_its_place(stowage: Stowage, folder: Path) -> None:
    path = files(folder)[1]
    path.write_text(path.read_text().replace("request-3", "request-9"))
    shown = stowage("audit", "verify", folder)
    assert shown.code == 1
    assert f"{path.name}     3  this line is not as it was written" in shown.out
    assert "DAMAGED" in shown.out
    found = stowage("audit", "verify", folder, "--json")
    assert (found.code, found.json["intact"]) == (1, False)
    assert found.json["findings"][0] == {
        "file": path.name,
        "line": 3,
        "problem": "this line is not as it was written",
        "is_damage": True,
    }


def test_a_missing_end_is_seen_with_the_configuration(stowage: Stowage, folder: Path, config: Path) -> None:
    assert stowage("audit", "verify", "--config", config).code == 0
    last = files(folder)[-1]
    last.write_bytes(last.read_bytes().splitlines(keepends=True)[0])
    assert stowage("audit", "verify", folder).code == 0
    assert "no line ends now" in stowage("audit", "verify", "--config", config).out


def test_another_node_s_files_are_only_mentioned(stowage: Stowage, tmp_path: Path, state: str) -> None:
    (tmp_path / "other").mkdir()
    shown = stowage("audit", "verify", tmp_path / "other", "--state", state)
    assert shown.code == 0
    assert "3 files that were counted are not here" in shown.out
    assert stowage("audit", "verify", tmp_path / "other", "--state", state, "--whole").code == 1


def test_a_folder_that_is_not_there_is_wrong_usage(stowage: Stowage, tmp_path: Path) -> None:
    shown = stowage("audit", "verify", tmp_path / "none")
    assert shown.code == 2
    assert "there is no folder" in shown.err


def test_pruning(stowage: Stowage, folder: Path, config: Path) -> None:
    done = stowage("audit", "prune", "--before", "2026-07-01", "--config", config, "--yes", "--json")
    assert done.json == {"removed": ["router-1.00000001.jsonl", "router-1.00000002.jsonl"]}
    checked = stowage("audit", "verify", "--config", config, "--whole")
    assert checked.code == 0
    assert "router-1: pruned up to segment 2" in checked.out
    again = stowage("audit", "prune", "--before", "2026-07-01", "--config", config)
    assert f"Removed 0 segments from {folder}." in again.out
    assert "audit.prune router-1" in stowage("audit", "tail", "--config", config).out


def test_what_the_database_has_not_counted_is_not_pruned(stowage: Stowage, folder: Path, tmp_path: Path) -> None:
    empty = f"sqlite:///{tmp_path}/empty.db"
    done = stowage("audit", "prune", folder, "--before", "2026-07-01", "--state", empty, "--yes", "--json")
    assert done.json == {"removed": []}
    assert len(files(folder)) == 3


def test_the_tail_for_people_and_for_machines(stowage: Stowage, tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(request(1, time=START + timedelta(seconds=1)))
    refused = {"model": None, "version": None, "asked": "no\x1b[2Jthing", "error": "model_not_found"}
    journal.append(request(2, time=START + timedelta(seconds=2), outcome=Outcome.REFUSED, status=404, **refused))
    later = START + timedelta(seconds=3)
    journal.append(AdminRecord(id="7", time=later, actor="cli:ann", action="key.revoke", subject="ab", details={}))
    journal.append(LostRecords(time=later, since=START, count=4, reason="no space"))
    journal.close()
    shown = stowage("audit", "tail", tmp_path, "-n", 4).out
    who = "key=abcd1234 tenant=research  tokens=3+5  80ms"
    assert shown.splitlines() == [
        f"2026-07-31T09:05:01.000Z  ok         200  openai/generate  tiny@1  {who}",
        f"2026-07-31T09:05:02.000Z  refused    404  openai/generate  no\\x1b[2Jthing  {who}  model_not_found",
        "2026-07-31T09:05:03.000Z  admin      cli:ann key.revoke ab {}",
        "2026-07-31T09:05:03.000Z  LOST       4 records since 2026-07-31T09:05:00.000Z: no space",
    ]
    objects = [json.loads(line) for line in stowage("audit", "tail", tmp_path, "--json").out.splitlines()]
    assert [each["kind"] for each in objects] == ["segment", "request", "request", "admin", "lost"]


def test_following(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(request(1))
    program = "import sys; from cluster.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-uc", program, "audit", "tail", str(tmp_path), "--follow", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert [json.loads(process.stdout.readline())["kind"] for _ in range(2)] == ["segment", "request"]
        journal.append(request(2))
        assert json.loads(process.stdout.readline())["id"] == "request-2"
        process.terminate()
    journal.close()


def test_shadows_are_compared(folder: Path, stowage: Stowage) -> None:
    assert stowage("audit", "shadows", folder).out == "no shadow copies\n"
    journal = open_journal(folder, "other")
    journal.append(request(9, id="copy", shadow_of=request(1).id, version="9", agrees=True, engine_ms=1.0))
    journal.close()
    (found,) = json.loads(stowage("audit", "shadows", folder, "--json").out)
    assert (found["shadow"], found["num_copies"], found["num_agreed"]) == ("tiny@9", 1, 1)
    assert "1 of 1" in stowage("audit", "shadows", folder).out


def test_all_of_a_long_journal_is_compared(tmp_path: Path, stowage: Stowage) -> None:
    journal = open_journal(tmp_path)
    for number in range(10):
        journal.append(request(number, text="x" * 2**20))
        journal.append(request(100 + number, shadow_of=request(number).id, version="9", agrees=True))
    journal.close()
    (found,) = stowage("audit", "shadows", tmp_path, "--json").json
    assert found["num_copies"] == 10
