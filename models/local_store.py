"""The model store as a folder: ``<root>/<name>/<version>/`` holds the files and their manifest.

A version appears by one rename and disappears by one rename, so whoever reads sees all of it or nothing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models.errors import StoreError, VersionNotFoundError
from models.file_integrity import check_files, flush, hash_files, seal_tree
from models.locking import exclusive
from models.manifest import MANIFEST_FILE, Manifest
from models.progress import NoProgress, Progress
from models.types import NAME_PATTERN, VERSION_PATTERN, VersionId


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version that is on this machine: ``folder`` holds exactly the files that the manifest lists."""

    manifest: Manifest
    folder: Path


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a version is built: all of ``files`` becomes the version, ``scratch`` is thrown away."""

    files: Path
    scratch: Path


Fill = Callable[[Staging], Manifest]


class LocalStore:
    """Immutable model versions below ``root``, shared by all processes of a machine."""

    def __init__(self, root: Path, progress: Progress | None = None) -> None:
        self.root = root
        self._progress = progress or NoProgress()

    def get(self, version: VersionId) -> StoredModel:
        """The version; VersionNotFoundError names those that are there."""
        return StoredModel(self.manifest(version), self._folder(version))

    def manifest(self, version: VersionId) -> Manifest:
        """The version's manifest. VersionNotFoundError."""
        if not self.holds(version):
            raise not_found(version, str(self.root), self._ids())
        manifest = read_manifest(self._manifest_path(version).read_bytes(), str(self._manifest_path(version)))
        if manifest.id != version:
            raise StoreError(
                f"the folder of {version} in {self.root} holds {manifest.id}",
                remedy="move it back; folders of the store are not renamed",
            )
        return manifest

    def list(self) -> tuple[Manifest, ...]:
        """The manifests of all versions, sorted by id."""
        return tuple(self.manifest(version) for version in self._ids())

    def holds(self, version: VersionId) -> bool:
        """Whether the version is there, whole."""
        return self._manifest_path(version).is_file()

    def add(self, version: VersionId, fill: Fill) -> StoredModel:
        """Build the version with ``fill`` and make it visible at once, or return the one that is there.

        ``fill`` puts files into the staging folder and returns their manifest. When the manifest lists files,
        the staged ones must be those (ChecksumError); when it lists none, the store does. A second process
        that adds the same version waits for the first. Nothing is visible after any failure.
        """
        with self._exclusive(version):
            if not self.holds(version):
                try:
                    self._build(version, fill)
                except OSError as error:
                    raise StoreError(f"{version} cannot be written to {self.root}: {error}") from error
        return self.get(version)

    def remove(self, version: VersionId) -> None:
        """Take the version away; replicas that have its files open keep them. VersionNotFoundError."""
        if not self.holds(version):
            raise not_found(version, str(self.root), self._ids())
        with self._exclusive(version):
            staging = self._clean_staging(version)
            if self.holds(version):
                self._folder(version).rename(staging / "removed")
                flush(self._folder(version).parent)
            shutil.rmtree(staging)

    def verify(self, version: VersionId) -> None:
        """Hash every file again; ChecksumError names each that is damaged, missing or extra."""
        stored = self.get(version)
        self._progress.step(f"verifying {version}")
        check_files(stored.manifest, hash_files(stored.folder, self._progress))

    def _build(self, version: VersionId, fill: Fill) -> None:
        staging = self._clean_staging(version)
        parts = Staging(staging / "files", staging / "scratch")
        parts.files.mkdir()
        parts.scratch.mkdir()
        try:
            self._seal(version, parts, fill(parts))
            self._publish(version, parts.files)
        finally:
            shutil.rmtree(staging)

    def _seal(self, version: VersionId, parts: Staging, manifest: Manifest) -> None:
        self._progress.step(f"checking and storing {version} in {self.root}")
        found = hash_files(parts.files, self._progress)
        if manifest.files:
            check_files(manifest, found)
        manifest = manifest.model_copy(update={"files": found})
        (parts.files / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        seal_tree(parts.files)

    def _publish(self, version: VersionId, files: Path) -> None:
        self._folder(version).parent.mkdir(parents=True, exist_ok=True)
        files.rename(self._folder(version))
        flush(self._folder(version).parent)
        flush(self.root)

    def _exclusive(self, version: VersionId) -> AbstractContextManager[None]:
        return exclusive(self.root / ".locks" / f"{version}.lock", f"{version}", self._progress)

    def _clean_staging(self, version: VersionId) -> Path:
        """An empty folder. Under the lock: what lies there was left by a process that was killed."""
        staging = self.root / ".staging" / str(version)
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
        return staging

    def _ids(self) -> tuple[VersionId, ...]:
        found = self.root.glob(f"*/*/{MANIFEST_FILE}")
        return version_ids((path.parts[-3], path.parts[-2]) for path in found)

    def _folder(self, version: VersionId) -> Path:
        return self.root / version.name / version.version

    def _manifest_path(self, version: VersionId) -> Path:
        return self._folder(version) / MANIFEST_FILE


def version_ids(pairs: Iterable[tuple[str, str]]) -> tuple[VersionId, ...]:
    """The pairs that can be a version's name and number, sorted; others are not the store's."""
    names, versions = re.compile(NAME_PATTERN), re.compile(VERSION_PATTERN)
    valid = (pair for pair in pairs if names.fullmatch(pair[0]) and versions.fullmatch(pair[1]))
    return tuple(sorted(VersionId(name, version) for name, version in valid))


def read_manifest(content: bytes, origin: str) -> Manifest:
    """Parse a manifest; StoreError names the field that is wrong."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise StoreError(
            f"{origin} is not a manifest: {error}", remedy="remove the version's folder and import it again"
        ) from error


def not_found(version: VersionId, where: str, present: tuple[VersionId, ...]) -> VersionNotFoundError:
    """The error for a version that is not in the store, naming those that are."""
    there = ", ".join(str(each) for each in present) or "nothing"
    return VersionNotFoundError(f"{version} is not in the model store {where}, which holds {there}")
