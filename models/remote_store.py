"""The model store in a bucket, read through a cache on the node.

``<name>/<version>/manifest.json`` is written last and marks the version as complete. Files lie beside it under
``blobs/<SHA-256>``: imports of one version on two nodes cannot mix their files, and an upload can be resumed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from models.errors import ChecksumError, StoreError
from models.local_store import Fill, LocalStore, Staging, StoredModel, not_found, read_manifest, version_ids
from models.locking import exclusive
from models.manifest import MANIFEST_FILE, FileEntry, Manifest
from models.object_store import Bucket, download_all
from models.progress import NoProgress, Progress
from models.types import VersionId
from models.weight_source import SourceFile


class RemoteStore:
    """Immutable model versions in a bucket. The cache is a store of its own and holds what was used here."""

    def __init__(self, url: str, cache: LocalStore, progress: Progress | None = None) -> None:
        self._bucket = Bucket(url, StoreError)
        self._cache = cache
        self._progress = progress or NoProgress()

    @property
    def root(self) -> Path:
        """The folder of the cache."""
        return self._cache.root

    def get(self, version: VersionId) -> StoredModel:
        """The version, downloaded and verified unless the cache holds it. VersionNotFoundError."""
        manifest = self.manifest(version)
        cached = self._cached(manifest)
        if cached is not None:
            return cached
        with self._exclusive(version):
            return self._cached(manifest) or self._download(manifest)

    def holds(self, version: VersionId) -> bool:
        """Whether the cache has the version, whatever the bucket has."""
        return self._cache.holds(version)

    def manifest(self, version: VersionId) -> Manifest:
        """The version's manifest, read from the bucket. VersionNotFoundError."""
        manifest = self._read_manifest(version)
        if manifest is None:
            raise not_found(version, self._bucket.url, self._ids())
        return manifest

    def list(self) -> tuple[Manifest, ...]:
        """The manifests of all versions in the bucket, sorted by id."""
        return tuple(self.manifest(version) for version in self._ids())

    def add(self, version: VersionId, fill: Fill) -> StoredModel:
        """Build the version in the cache with ``fill``, then upload it; or return the one that is there.

        Processes on this node wait for each other. Of two nodes that build it at once, the first to finish wins
        and the other takes its result.
        """
        with self._exclusive(version):
            if self._read_manifest(version) is None:
                # Whatever the cache holds was never, or is no longer, in the bucket.
                self._forget(version)
                if not self._upload(self._cache.add(version, fill)):
                    self._forget(version)
        return self.get(version)

    def remove(self, version: VersionId) -> None:
        """Take the version out of the bucket and out of this node's cache. VersionNotFoundError."""
        self.manifest(version)
        with self._exclusive(version):
            self._bucket.delete([_key(version, MANIFEST_FILE)])
            self._bucket.delete([file.name for file in self._bucket.list(_key(version))])
            self._forget(version)

    def verify(self, version: VersionId) -> None:
        """Hash the version's files in the bucket, and in the cache if it is there. ChecksumError."""
        manifest = self.manifest(version)
        self._progress.step(f"verifying {version} in {self._bucket.url}")
        objects = self._objects(version)
        damaged = [entry.path for entry in manifest.files if self._is_damaged(entry, objects)]
        if damaged:
            raise ChecksumError(
                f"{version} in {self._bucket.url} is damaged: {', '.join(damaged)}",
                remedy=f"remove {version} and import it again",
            )
        if self._cached(manifest) is not None:
            self._cache.verify(version)

    def _is_damaged(self, entry: FileEntry, objects: dict[str, SourceFile]) -> bool:
        blob = objects.get(entry.sha256)
        return blob is None or self._bucket.sha256(blob) != entry.sha256

    def _download(self, manifest: Manifest) -> StoredModel:
        def fill(staging: Staging) -> Manifest:
            self._progress.step(f"downloading {manifest.id} from {self._bucket.url}")
            targets = list(self._targets(manifest, staging.files))
            download_all(self._bucket, targets, self._progress)
            return manifest

        self._forget(manifest.id)
        return self._cache.add(manifest.id, fill)

    def _targets(self, manifest: Manifest, folder: Path) -> Iterable[tuple[SourceFile, Path]]:
        objects = self._objects(manifest.id)
        for entry in manifest.files:
            if entry.sha256 not in objects:
                raise ChecksumError(
                    f"{manifest.id} in {self._bucket.url} lacks {entry.path}",
                    remedy=f"remove {manifest.id} and import it again",
                )
            yield objects[entry.sha256], folder / entry.path

    def _upload(self, stored: StoredModel) -> bool:
        """Whether ours is now the version in the bucket; False when another node was first."""
        version = stored.manifest.id
        self._progress.step(f"uploading {version} to {self._bucket.url}")
        present = self._objects(version)
        done_bytes = 0
        for entry in stored.manifest.files:
            if entry.sha256 not in present:
                self._bucket.upload(stored.folder / entry.path, _blob_key(version, entry.sha256))
            done_bytes += entry.size_bytes
            self._progress.advance(done_bytes, stored.manifest.size_bytes)
        content = (stored.folder / MANIFEST_FILE).read_bytes()
        return self._bucket.create(_key(version, MANIFEST_FILE), content)

    def _objects(self, version: VersionId) -> dict[str, SourceFile]:
        """The version's blobs by their SHA-256."""
        return {posixpath.basename(file.name): file for file in self._bucket.list(_key(version, "blobs"))}

    def _cached(self, manifest: Manifest) -> StoredModel | None:
        if not self._cache.holds(manifest.id):
            return None
        stored = self._cache.get(manifest.id)
        return stored if stored.manifest == manifest else None

    def _forget(self, version: VersionId) -> None:
        if self._cache.holds(version):
            self._cache.remove(version)

    def _read_manifest(self, version: VersionId) -> Manifest | None:
        key = _key(version, MANIFEST_FILE)
        content = self._bucket.read(key)
        return None if content is None else read_manifest(content, f"{self._bucket.url}/{key}")

    def _ids(self) -> tuple[VersionId, ...]:
        keys = [file.name.split("/") for file in self._bucket.list()]
        return version_ids((key[0], key[1]) for key in keys if key[2:] == [MANIFEST_FILE])

    def _exclusive(self, version: VersionId) -> AbstractContextManager[None]:
        lock = self._cache.root / ".locks" / f"{version}.remote.lock"
        return exclusive(lock, str(version), self._progress)


def _key(version: VersionId, *parts: str) -> str:
    return "/".join((version.name, version.version, *parts))


def _blob_key(version: VersionId, sha256: str) -> str:
    return _key(version, "blobs", sha256)
