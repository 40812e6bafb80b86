"""Shard files against their manifest, and hashes that are remembered no longer than they are true."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from models.errors import ChecksumError
from models.local_store import LocalStore
from models.parallel.file_check import KnownHashes, check_needed_files, check_shard_files, files_with
from models.progress import NoProgress
from models.selection import INDEX_FILE
from models.types import VersionId
from tests.unit.models.parallel.preflights import entry_of, stored
from tests.unit.models.store_content import fill_with

VERSION = VersionId("tiny", "1")


class Counting(NoProgress):
    """Which files were hashed, and how far."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.last = (0, 0)

    def step(self, message: str) -> None:
        self.steps.append(message)

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        self.last = (done_bytes, total_bytes)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "version" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights" * 1000)
    return path


def test_a_file_is_hashed_once(tmp_path: Path, shard: Path) -> None:
    progress = Counting()
    for _ in range(2):
        found = check_shard_files(shard.parent, [entry_of(shard)], KnownHashes(tmp_path / "hashes", progress))
        assert found == "1 files with 7000 bytes, as in the manifest"
    assert (progress.steps, progress.last) == (["hashing model.safetensors"], (7000, 7000))


def test_a_change_is_found_though_size_and_time_were_put_back(tmp_path: Path, shard: Path) -> None:
    entry = entry_of(shard)
    hashes = KnownHashes(tmp_path / "hashes", NoProgress())
    check_shard_files(shard.parent, [entry], hashes)
    before = shard.stat()
    with shard.open("r+b") as file:
        file.write(b"WEIGHTS")
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ChecksumError, match=f"has SHA-256 {entry_of(shard).sha256}, not {entry.sha256}"):
        check_shard_files(shard.parent, [entry], hashes)


def test_a_damaged_file_stays_damaged_without_being_hashed_again(tmp_path: Path, shard: Path) -> None:
    entry = entry_of(shard)
    shard.write_bytes(b"WEIGHTS" * 1000)
    progress = Counting()
    for _ in range(2):
        with pytest.raises(ChecksumError):
            check_shard_files(shard.parent, [entry], KnownHashes(tmp_path / "hashes", progress))
    assert len(progress.steps) == 1


def test_what_another_release_remembered_is_forgotten(tmp_path: Path, shard: Path) -> None:
    progress = Counting()
    hashes = KnownHashes(tmp_path / "hashes", progress)
    hashes.sha256(shard)
    (kept,) = (tmp_path / "hashes").glob("*.json")
    kept.write_text('{"sha256": "of another release"}')
    assert hashes.sha256(shard) == entry_of(shard).sha256
    assert len(progress.steps) == 2


def test_every_problem_is_named_and_a_wrong_size_is_not_hashed(tmp_path: Path, shard: Path) -> None:
    gone = entry_of(shard).model_copy(update={"path": "gone.safetensors"})
    longer = entry_of(shard).model_copy(update={"size_bytes": 8000})
    progress = Counting()
    with pytest.raises(ChecksumError) as caught:
        check_shard_files(shard.parent, [gone, longer], KnownHashes(tmp_path / "hashes", progress))
    expected = "gone.safetensors is missing; model.safetensors has 7000 bytes, not 8000"
    assert (caught.value.message, progress.steps) == (expected, [])


def test_a_rank_needs_the_files_of_its_own_tensors_and_all_that_are_no_weights(tmp_path: Path) -> None:
    weight_map = {"layers.0.w": "model-1.safetensors", "layers.1.w": "model-2.safetensors"}
    files = {"config.json": b"{}", "model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode()}
    files |= dict.fromkeys(weight_map.values(), b"weights")
    version = LocalStore(tmp_path).add(VERSION, fill_with(VERSION, files))
    needed = files_with(version, {"layers.1.w"})
    expected = ["config.json", "model-2.safetensors", "model.safetensors.index.json"]
    assert sorted(entry.path for entry in needed) == expected


def test_a_single_file_is_needed_by_all(tmp_path: Path) -> None:
    version = LocalStore(tmp_path).add(VERSION, fill_with(VERSION, {"model.safetensors": b"weights"}))
    assert files_with(version, ()) == version.manifest.files


def test_what_says_which_weights_are_needed_is_checked_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "version").mkdir()
    (tmp_path / "version" / INDEX_FILE).write_text('{"weight_map": {}}')
    (tmp_path / "version" / "model.safetensors").write_bytes(b"weights")
    version = stored(tmp_path / "version")
    (version.folder / INDEX_FILE).write_text('{"weight_map": []}')

    def refuse() -> frozenset[str]:
        raise AssertionError("read before it was checked")

    progress = Counting()
    with pytest.raises(ChecksumError, match=f"^{INDEX_FILE} has SHA-256 .*"):
        check_needed_files(version, refuse, KnownHashes(tmp_path / "hashes", progress))
    assert progress.steps == [f"hashing {INDEX_FILE}"]
