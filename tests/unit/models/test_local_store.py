from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.errors import ChecksumError, StoreError, VersionNotFoundError
from models.local_store import LocalStore, Staging
from models.manifest import FileEntry, Manifest
from models.types import VersionId
from tests.unit.models.store_content import contents, fill_with, manifest_of

V1 = VersionId("m", "1")
V2 = VersionId("m", "2")
FILES = {"model.onnx": b"weights", "sub/config.json": b"{}"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "models")


def left_over(store: LocalStore) -> list[Path]:
    return [path for path in (store.root / ".staging").rglob("*") if path.is_file()]


def test_a_version_is_added_listed_and_read(store: LocalStore) -> None:
    added = store.add(V1, fill_with(V1, FILES))
    assert added == store.get(V1)
    assert added.folder == store.root / "m" / "1"
    assert contents(added.folder) == FILES
    assert added.manifest.files == tuple(
        FileEntry(path=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in FILES.items()
    )
    assert store.list() == (added.manifest,)
    store.verify(V1)


def test_files_are_read_only(store: LocalStore) -> None:
    folder = store.add(V1, fill_with(V1, FILES)).folder
    assert {path.stat().st_mode & 0o222 for path in folder.rglob("*") if path.is_file()} == {0}


def test_a_version_that_is_there_is_not_built_again(store: LocalStore) -> None:
    first = store.add(V1, fill_with(V1, FILES))
    assert store.add(V1, fill_with(V1, {"other": b"x"})) == first


def test_a_missing_version_is_named_with_those_that_are_there(store: LocalStore) -> None:
    with pytest.raises(VersionNotFoundError, match=r"m@1 is not in the model store .* which holds nothing"):
        store.get(V1)
    store.add(V2, fill_with(V2, FILES))
    for call in (store.get, store.remove, store.verify):
        with pytest.raises(VersionNotFoundError, match="which holds m@2"):
            call(V1)


def test_a_failed_build_leaves_nothing(store: LocalStore) -> None:
    def fail(staging: Staging) -> Manifest:
        (staging.files / "half").write_bytes(b"x")
        raise StoreError("no")

    with pytest.raises(StoreError, match="no"):
        store.add(V1, fail)
    assert store.list() == ()
    assert left_over(store) == []
    assert contents(store.add(V1, fill_with(V1, FILES)).folder) == FILES


def test_scratch_is_thrown_away(store: LocalStore) -> None:
    def fill(staging: Staging) -> Manifest:
        (staging.scratch / "download").write_bytes(b"x")
        return manifest_of(V1)

    assert contents(store.add(V1, fill).folder) == {}
    assert left_over(store) == []


def test_staged_files_must_be_those_of_a_given_manifest(store: LocalStore) -> None:
    expected = FileEntry(path="model.onnx", size_bytes=7, sha256=hashlib.sha256(b"weights").hexdigest())

    def fill(staging: Staging) -> Manifest:
        (staging.files / "model.onnx").write_bytes(b"wrong..")
        return manifest_of(V1).model_copy(update={"files": (expected,)})

    with pytest.raises(ChecksumError, match=r"model\.onnx has 7 bytes"):
        store.add(V1, fill)
    assert store.list() == ()


def test_verify_names_every_file_that_is_wrong(store: LocalStore) -> None:
    folder = store.add(V1, fill_with(V1, {**FILES, "gone": b"1"})).folder
    (folder / "model.onnx").chmod(0o644)
    (folder / "model.onnx").write_bytes(b"weighty")
    (folder / "gone").unlink()
    (folder / "extra").write_bytes(b"x")
    with pytest.raises(ChecksumError) as caught:
        store.verify(V1)
    for part in ("gone is missing", "extra is not in the manifest", "model.onnx has 7 bytes", "import it again"):
        assert part in str(caught.value)
    assert "sub/config.json" not in str(caught.value)


def test_removal_takes_one_version_only(store: LocalStore) -> None:
    for version in (V1, V2):
        store.add(version, fill_with(version, FILES))
    store.remove(V1)
    assert [manifest.id for manifest in store.list()] == [V2]
    assert left_over(store) == []
    store.add(V1, fill_with(V1, {"new": b"1"}))
    assert contents(store.get(V1).folder) == {"new": b"1"}


def test_a_broken_manifest_is_explained(store: LocalStore) -> None:
    path = store.add(V1, fill_with(V1, FILES)).folder / "manifest.json"
    path.chmod(0o644)
    path.write_text('{"name": "m"}', encoding="utf-8")
    with pytest.raises(StoreError, match=r"manifest\.json is not a manifest"):
        store.get(V1)


def test_a_renamed_folder_is_noticed(store: LocalStore) -> None:
    store.add(V1, fill_with(V1, FILES)).folder.rename(store.root / "m" / "2")
    with pytest.raises(StoreError, match=r"the folder of m@2 in .* holds m@1"):
        store.get(V2)


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file"):
        LocalStore(tmp_path / "file").add(V1, fill_with(V1, FILES))


def test_folders_that_no_version_can_have_are_not_listed(store: LocalStore) -> None:
    store.add(V1, fill_with(V1, FILES))
    stray = store.root / "not a name" / "1"
    stray.mkdir(parents=True)
    (stray / "manifest.json").write_text("{}", encoding="utf-8")
    assert [manifest.id for manifest in store.list()] == [V1]
