"""Buckets: S3, Google Cloud Storage and Azure. The only file that imports obstore.

Credentials, region and endpoint come from where each cloud's own tools read them (environment, instance role).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url

from models.errors import SourceError, StoreError
from models.progress import Progress
from models.weight_source import Contents, SourceFile, narrow

BUCKET_SCHEMES = ("s3://", "gs://", "az://")

_RANGE_BYTES = 16 << 20
_PARALLEL_RANGES = 8


class Bucket:
    """Objects below a URL, under keys relative to it. Failures are raised as ``error_type``."""

    def __init__(self, url: str, error_type: type[StoreError]) -> None:
        self.url = url
        self._error_type = error_type
        with self._explained():
            self._store = from_url(url, retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=30)})

    def list(self, prefix: str = "") -> tuple[SourceFile, ...]:
        """The objects below the folder ``prefix``, sorted by key."""
        with self._explained():
            found = [meta for batch in obstore.list(self._store, prefix or None) for meta in batch]
        return _source_files(found)

    def list_folder(self, folder: str) -> tuple[SourceFile, ...]:
        """The objects directly in the folder, sorted by key."""
        with self._explained():
            found = obstore.list_with_delimiter(self._store, folder or None)["objects"]
        return _source_files(found)

    def read(self, key: str) -> bytes | None:
        """All bytes of a small object; None when there is no such object."""
        with self._explained():
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def create(self, key: str, content: bytes) -> bool:
        """Put a small object unless the key is taken; False when it is."""
        with self._explained():
            try:
                obstore.put(self._store, key, content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def upload(self, path: Path, key: str) -> None:
        """Put a file; it becomes visible when all its bytes are there."""
        with self._explained():
            obstore.put(self._store, key, path)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects."""
        with self._explained():
            obstore.delete(self._store, list(keys))

    def download(self, file: SourceFile, target: Path, on_bytes: _ByteCount) -> None:
        """Read the object in ranges, several at a time, into a new file; refused when it changes meanwhile."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(exist_ok=False)

        def copy(start: int) -> None:
            chunk = self.read_range(file, start, min(start + _RANGE_BYTES, file.size_bytes))
            with target.open("r+b") as writer:
                writer.seek(start)
                writer.write(chunk)
            on_bytes.add(len(chunk))

        with ThreadPoolExecutor(_PARALLEL_RANGES) as pool:
            for _ in pool.map(copy, range(0, file.size_bytes, _RANGE_BYTES)):
                pass

    def sha256(self, file: SourceFile) -> str:
        """SHA-256 in hex of the object's bytes, read in ranges."""
        digest = hashlib.sha256()
        for start in range(0, file.size_bytes, _RANGE_BYTES):
            digest.update(self.read_range(file, start, min(start + _RANGE_BYTES, file.size_bytes)))
        return digest.hexdigest()

    def read_range(self, file: SourceFile, start: int, stop: int) -> bytes:
        """The object's bytes from ``start`` up to ``stop``; refused when it is another object by now."""
        with self._explained():
            options: obstore.GetOptions = {"range": (start, stop), "if_match": file.etag}
            return bytes(obstore.get(self._store, file.name, options=options).bytes())

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except PreconditionError as error:
            raise self._error_type(
                f"an object in {self.url} changed while it was read", remedy="try again"
            ) from error
        except (BaseError, FileNotFoundError, ValueError) as error:
            reason = " ".join(str(error).partition("Debug source:")[0].split())
            raise self._error_type(
                f"{self.url} cannot be used: {reason}",
                remedy="check the bucket's name, the network, and the cloud's credentials in the environment",
            ) from error


def _source_files(found: Iterable[obstore.ObjectMeta]) -> tuple[SourceFile, ...]:
    files = [SourceFile(meta["path"], meta["size"], etag=meta["e_tag"]) for meta in found]
    return tuple(sorted(files, key=lambda file: file.name))


class _ByteCount:
    """Adds up bytes from several threads for one progress report."""

    def __init__(self, total_bytes: int, progress: Progress) -> None:
        self._lock = threading.Lock()
        self._done_bytes = 0
        self._total_bytes = total_bytes
        self._progress = progress

    def add(self, num_bytes: int) -> None:
        with self._lock:
            self._done_bytes += num_bytes
            self._progress.advance(self._done_bytes, self._total_bytes)


def download_all(bucket: Bucket, targets: Sequence[tuple[SourceFile, Path]], progress: Progress) -> None:
    """Download each object to its path, reporting the bytes of all together."""
    count = _ByteCount(sum(file.size_bytes for file, _ in targets), progress)
    for file, target in targets:
        bucket.download(file, target, count)


@dataclass(frozen=True, slots=True)
class BucketSource:
    """``s3://bucket/key``, ``gs://`` or ``az://``: an object, or all objects below a folder."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    def contents(self) -> Contents:
        """The objects; they are pinned by their SHA-256 in the manifest, a bucket has no revision."""
        bucket = Bucket(self.bucket, SourceError)
        files = bucket.list(self.key) or bucket.list_folder(self.key.rpartition("/")[0])
        return narrow(files, self.key, str(self))

    def fetch(
        self, contents: Contents, wanted: Sequence[SourceFile], scratch: Path, progress: Progress, /
    ) -> Path:
        """Download the wanted objects."""
        progress.step(f"downloading {len(wanted)} files from {self}")
        bucket = Bucket(self.bucket, SourceError)
        keyed = [replace(file, name=contents.key(file)) for file in wanted]
        targets = [(keyed_file, scratch / file.name) for keyed_file, file in zip(keyed, wanted, strict=True)]
        download_all(bucket, targets, progress)
        return scratch

    def read(self, contents: Contents, file: SourceFile, start: int, stop: int, /) -> bytes:
        """One request for the range."""
        return Bucket(self.bucket, SourceError).read_range(replace(file, name=contents.key(file)), start, stop)
