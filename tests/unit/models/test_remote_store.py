from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.errors import ChecksumError, StoreError, VersionNotFoundError
from models.local_store import LocalStore, Staging
from models.manifest import Manifest
from models.object_store import Bucket
from models.remote_store import RemoteStore
from models.store import open_store
from models.types import VersionId
from tests.unit.models.store_content import contents, fill_with

V1 = VersionId("m", "1")
V2 = VersionId("m", "2")
FILES = {"model.onnx": b"weights", "sub/config.json": b"{}", "copy.json": b"{}"}


class Node:
    """A machine: a cache of its own in front of the common bucket."""

    def __init__(self, url: str, cache: Path) -> None:
        self.cache = LocalStore(cache)
        self.store = RemoteStore(f"{url}/pre/fix", self.cache)


@pytest.fixture
def here(s3_bucket: str, tmp_path: Path) -> Node:
    return Node(s3_bucket, tmp_path / "here")


@pytest.fixture
def there(s3_bucket: str, tmp_path: Path) -> Node:
    return Node(s3_bucket, tmp_path / "there")


def test_a_version_added_on_one_node_is_read_on_another(here: Node, there: Node) -> None:
    added = here.store.add(V1, fill_with(V1, FILES))
    read = there.store.get(V1)
    assert read.manifest == added.manifest
    assert read.folder == there.cache.root / "m" / "1"
    assert there.store.root == there.cache.root
    assert contents(read.folder) == FILES
    assert there.store.list() == (added.manifest,)
    there.store.verify(V1)


def test_the_manifest_marks_completion(here: Node, there: Node, s3_bucket: str) -> None:
    here.store.add(V1, fill_with(V1, FILES))
    Bucket(s3_bucket, StoreError).delete(["pre/fix/m/1/manifest.json"])
    assert there.store.list() == ()
    with pytest.raises(VersionNotFoundError, match="which holds nothing"):
        there.store.get(V1)
    assert contents(there.store.add(V1, fill_with(V1, {"x": b"2"})).folder) == {"x": b"2"}
    assert contents(here.store.get(V1).folder) == {"x": b"2"}


def test_the_cache_is_used_again(here: Node, s3_bucket: str) -> None:
    here.store.add(V1, fill_with(V1, FILES))
    bucket = Bucket(s3_bucket, StoreError)
    bucket.delete([file.name for file in bucket.list("pre/fix/m/1/blobs")])
    assert contents(here.store.get(V1).folder) == FILES


def test_a_version_that_is_there_is_not_built_again(here: Node, there: Node) -> None:
    first = here.store.add(V1, fill_with(V1, FILES))
    assert there.store.add(V1, fill_with(V1, {"other": b"x"})).manifest == first.manifest


def test_of_two_nodes_that_build_at_once_the_first_to_finish_wins(here: Node, there: Node) -> None:
    def fill(staging: Staging) -> Manifest:
        there.store.add(V1, fill_with(V1, FILES))
        return fill_with(V1, {"other": b"x"})(staging)

    assert contents(here.store.add(V1, fill).folder) == FILES
    assert contents(there.store.get(V1).folder) == FILES


def test_removal_and_another_import_reach_the_other_node(here: Node, there: Node, s3_bucket: str) -> None:
    here.store.add(V1, fill_with(V1, FILES))
    here.store.add(V2, fill_with(V2, FILES))
    there.store.get(V1)
    here.store.remove(V1)
    assert [manifest.id for manifest in there.store.list()] == [V2]
    assert not any("/m/1/" in file.name for file in Bucket(s3_bucket, StoreError).list())
    with pytest.raises(VersionNotFoundError, match="which holds m@2"):
        there.store.get(V1)
    with pytest.raises(VersionNotFoundError):
        there.store.remove(V1)
    here.store.add(V1, fill_with(V1, {"new": b"1"}))
    assert contents(there.store.get(V1).folder) == {"new": b"1"}


def test_damage_in_the_bucket_is_found_by_verify_and_by_download(here: Node, there: Node, s3_bucket: str) -> None:
    entry = next(
        entry for entry in here.store.add(V1, fill_with(V1, FILES)).manifest.files if entry.path == "model.onnx"
    )
    bucket, key = Bucket(s3_bucket, StoreError), f"pre/fix/m/1/blobs/{entry.sha256}"
    bucket.delete([key])
    with pytest.raises(ChecksumError, match=r"lacks model\.onnx"):
        there.store.get(V1)
    bucket.create(key, b"wrong..")
    with pytest.raises(ChecksumError, match=r"model\.onnx has 7 bytes"):
        there.store.get(V1)
    assert there.cache.list() == ()
    with pytest.raises(ChecksumError, match=r"is damaged: model\.onnx \("):
        here.store.verify(V1)


def test_damage_in_the_cache_is_found(here: Node) -> None:
    folder = here.store.add(V1, fill_with(V1, FILES)).folder
    (folder / "extra").write_bytes(b"x")
    with pytest.raises(ChecksumError, match="extra is not in the manifest"):
        here.store.verify(V1)


def test_an_interrupted_upload_is_resumed(here: Node, s3_bucket: str) -> None:
    """What an earlier upload left is not sent again: it keeps the mark that only this test put on it."""
    bucket = Bucket(s3_bucket, StoreError)
    key = f"pre/fix/m/1/blobs/{hashlib.sha256(b'weights').hexdigest()}"
    bucket.create(key, b"marked!")
    here.store.add(V1, fill_with(V1, FILES))
    assert bucket.read(key) == b"marked!"
    assert len(bucket.list("pre/fix/m/1/blobs")) == len(set(FILES.values()))


def test_a_location_opens_the_store_with_a_cache_of_its_own(s3_bucket: str, tmp_path: Path) -> None:
    first = open_store(f"{s3_bucket}/a/", tmp_path)
    second = open_store(f"{s3_bucket}/b", tmp_path)
    assert contents(first.add(V1, fill_with(V1, FILES)).folder) == FILES
    assert second.list() == ()
    assert contents(second.add(V1, fill_with(V1, {"x": b"1"})).folder) == {"x": b"1"}
    assert contents(first.get(V1).folder) == FILES
    assert first.get(V1).folder.is_relative_to(tmp_path)


def test_a_manifest_that_cannot_be_read_is_explained(here: Node, s3_bucket: str) -> None:
    Bucket(s3_bucket, StoreError).create("pre/fix/m/1/manifest.json", b"{}")
    with pytest.raises(StoreError, match=r"pre/fix/m/1/manifest\.json is not a manifest"):
        here.store.get(V1)
