"""What other processes see while one of them imports, is killed, or has to wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.errors import VersionNotFoundError
from models.local_store import LocalStore
from models.types import VersionId
from tests.unit.models.store_content import contents, fill_with

REPOSITORY = Path(__file__).parents[3]
VERSION = VersionId("m", "1")

# Adds m@1 with its own process id as content, and stays inside of it until the file named by argv[2] appears.
ADD_SLOWLY = """
import os, sys, time
from pathlib import Path
from models.local_store import LocalStore
from models.types import VersionId
from tests.unit.models.store_content import manifest_of

version = VersionId("m", "1")

def fill(staging):
    (staging.files / "pid").write_text(str(os.getpid()))
    print("filling", flush=True)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
    return manifest_of(version)

class Say:
    def step(self, message): print(message, flush=True)
    def advance(self, done_bytes, total_bytes): pass

LocalStore(Path(sys.argv[1]), Say()).add(version, fill)
"""


@contextmanager
def adding(root: Path, release: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", ADD_SLOWLY, str(root), str(release)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_import_leaves_nothing_and_does_not_block_the_next(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "models")
    with adding(store.root, tmp_path / "never") as process:
        assert next_line(process) == "filling"
        assert (store.root / ".staging" / "m@1" / "files" / "pid").exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    assert store.list() == ()
    with pytest.raises(VersionNotFoundError):
        store.get(VERSION)
    stored = store.add(VERSION, fill_with(VERSION, {"new": b"1"}))
    assert contents(stored.folder) == {"new": b"1"}
    assert list((store.root / ".staging").iterdir()) == []


def test_a_second_import_waits_and_takes_the_first_ones_result(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "models")
    release = tmp_path / "release"
    with adding(store.root, release) as first:
        assert next_line(first) == "filling"
        with adding(store.root, release) as second:
            assert next_line(second) == "waiting for another process that works on m@1"
            time.sleep(0.1)
            assert second.poll() is None
            assert store.list() == ()
            release.touch()
            assert (first.wait(10), second.wait(10)) == (0, 0)
        assert contents(store.get(VERSION).folder) == {"pid": str(first.pid).encode()}


def test_imports_of_different_versions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "models")
    other = VersionId("m", "2")
    with adding(store.root, tmp_path / "never") as process:
        assert next_line(process) == "filling"
        store.add(other, fill_with(other, {"x": b"1"}))
        assert process.poll() is None
    assert [manifest.id for manifest in store.list()] == [other]
