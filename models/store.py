"""The model store: where model versions live. A folder of this machine, or a bucket with a cache on the node."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from models.errors import StoreError
from models.local_store import Fill, LocalStore, Staging, StoredModel
from models.manifest import Manifest
from models.object_store import BUCKET_SCHEMES
from models.progress import Progress
from models.remote_store import RemoteStore
from models.types import VersionId

__all__ = [
    "DEFAULT_CACHE",
    "DEFAULT_STORE",
    "Fill",
    "LocalStore",
    "RemoteStore",
    "Staging",
    "Store",
    "StoredModel",
    "open_store",
]

DEFAULT_STORE = "~/.stowage/models"
DEFAULT_CACHE = "~/.stowage/cache"


class Store(Protocol):
    """Immutable model versions. All methods raise StoreError or one of its children."""

    @property
    def root(self) -> Path:
        """The folder of this machine that has, or will have, a version's files in ``name/version``."""

    def get(self, version: VersionId) -> StoredModel:
        """The version, with its files on this machine. VersionNotFoundError names those that are there."""

    def holds(self, version: VersionId) -> bool:
        """Whether the version's files are on this machine."""

    def manifest(self, version: VersionId) -> Manifest:
        """The version's manifest; no weights are moved for it. VersionNotFoundError."""

    def list(self) -> tuple[Manifest, ...]:
        """The manifests of all versions, sorted by id."""

    def add(self, version: VersionId, fill: Fill) -> StoredModel:
        """Build the version with ``fill``, whole or not at all, or return the one that is there."""

    def remove(self, version: VersionId) -> None:
        """Take the version away. VersionNotFoundError."""

    def verify(self, version: VersionId) -> None:
        """Hash every file again. ChecksumError names those that are not what the manifest says."""


def open_store(
    location: str = DEFAULT_STORE, cache: Path | None = None, progress: Progress | None = None
) -> Store:
    """The store at ``location``: an absolute folder (``~`` allowed), or an ``s3://``, ``gs://`` or ``az://`` URL.

    ``cache`` (None: DEFAULT_CACHE) is where the files of a bucket's versions are kept on this node. Long work is
    told to ``progress``. StoreError when ``location`` is neither.
    """
    if location.startswith(BUCKET_SCHEMES):
        url = location.rstrip("/")
        folder = (cache or Path(DEFAULT_CACHE)).expanduser() / quote(url, safe="")
        return RemoteStore(url, LocalStore(folder, progress), progress)
    root = Path(location).expanduser()
    if not root.is_absolute():
        raise StoreError(
            f"{location!r} is not where a model store can be",
            remedy="write an absolute folder, ~/folder, or an s3://, gs:// or az:// URL",
        )
    return LocalStore(root, progress)
