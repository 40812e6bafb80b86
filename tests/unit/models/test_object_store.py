from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from models.errors import SourceError, StoreError
from models.object_store import Bucket, BucketSource, download_all
from models.progress import NoProgress
from models.weight_source import SourceFile


class Recorded:
    """Remembers the bytes that were reported."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, int]] = []

    def step(self, message: str) -> None:
        """Not what is tested here."""

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        self.reports.append((done_bytes, total_bytes))


@pytest.fixture
def bucket(s3_bucket: str) -> Bucket:
    return Bucket(s3_bucket, StoreError)


def test_small_objects(bucket: Bucket) -> None:
    assert bucket.read("a/b") is None
    assert bucket.create("a/b", b"first")
    assert not bucket.create("a/b", b"second")
    assert bucket.read("a/b") == b"first"
    assert [(file.name, file.size_bytes) for file in bucket.list()] == [("a/b", 5)]
    bucket.delete(["a/b"])
    assert bucket.list() == ()


def test_a_large_object_survives_the_way_there_and_back(bucket: Bucket, tmp_path: Path) -> None:
    content = os.urandom((33 << 20) + 7)  # three ranges, the last one short
    (tmp_path / "up").write_bytes(content)
    bucket.upload(tmp_path / "up", "w")
    bucket.create("empty", b"")
    empty, large = bucket.list()
    progress = Recorded()
    download_all(bucket, [(large, tmp_path / "down"), (empty, tmp_path / "sub" / "empty")], progress)
    assert (tmp_path / "down").read_bytes() == content
    assert (tmp_path / "sub" / "empty").read_bytes() == b""
    assert progress.reports[-1] == (len(content), len(content))
    assert [done for done, _ in progress.reports] == sorted(done for done, _ in progress.reports)
    assert bucket.sha256(large) == hashlib.sha256(content).hexdigest()


def test_an_object_that_changes_while_it_is_read_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.create("w", b"old")
    (listed,) = bucket.list()
    bucket.delete(["w"])
    bucket.create("w", b"new")
    with pytest.raises(StoreError, match="changed while it was read"):
        download_all(bucket, [(listed, tmp_path / "w")], NoProgress())


def test_a_bucket_that_does_not_exist(s3_bucket: str) -> None:
    with pytest.raises(StoreError, match="NoSuchBucket") as caught:
        Bucket(f"{s3_bucket}-not", StoreError).list()
    assert f"{s3_bucket}-not" in caught.value.message
    assert "credentials" in str(caught.value)


def test_a_source_is_a_folder_or_an_object(s3_bucket: str, bucket: Bucket, tmp_path: Path) -> None:
    for key in ("m/config.json", "m/model.onnx", "m/model.onnx_data", "m2/model.onnx"):
        bucket.create(key, key.encode())
    folder = BucketSource(s3_bucket, "m").contents()
    assert [file.name for file in folder.files] == ["config.json", "model.onnx", "model.onnx_data"]
    assert len(BucketSource(s3_bucket, "").contents().files) == 4
    source = BucketSource(s3_bucket, "m/model.onnx")
    contents = source.contents()
    assert [file.name for file in contents.files] == ["model.onnx", "model.onnx_data"]
    root = source.fetch(contents, contents.files[:1], tmp_path, NoProgress())
    assert (root / "model.onnx").read_bytes() == b"m/model.onnx"
    assert not (root / "model.onnx_data").exists()


def test_a_range_is_read_of_the_object_that_was_listed(s3_bucket: str, bucket: Bucket) -> None:
    bucket.create("m/model.onnx", b"0123456789")
    source = BucketSource(s3_bucket, "m")
    contents = source.contents()
    assert source.read(contents, contents.files[0], 3, 7) == b"3456"
    bucket.delete(["m/model.onnx"])
    bucket.create("m/model.onnx", b"another")
    with pytest.raises(SourceError, match="changed while it was read"):
        source.read(contents, contents.files[0], 3, 7)


def test_a_source_that_is_not_there_names_what_is(s3_bucket: str, bucket: Bucket) -> None:
    bucket.create("other.onnx", b"x")
    with pytest.raises(SourceError, match=f"{s3_bucket}/m does not exist .*other.onnx"):
        BucketSource(s3_bucket, "m").contents()


def test_an_etag_is_kept(bucket: Bucket) -> None:
    bucket.create("w", b"old")
    assert bucket.list() == (SourceFile("w", 3, etag=f'"{hashlib.md5(b"old").hexdigest()}"'),)  # noqa: S324
