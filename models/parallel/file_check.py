"""Whether a rank's files are those of the manifest. Hashes are remembered: a large file takes minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pydantic import ValidationError

from models.errors import ChecksumError
from models.locking import exclusive
from models.manifest import FileEntry, Frozen
from models.progress import Progress
from models.safetensors_file import ShardIndex
from models.selection import INDEX_FILE
from models.store import StoredModel

_CHUNK_BYTES = 4 << 20
_WEIGHTS = ".safetensors"


class _Remembered(Frozen):
    """The hash of a file that was like this. ``ctime_ns`` moves with the content, and nobody can set it back."""

    path: str
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str = ""

    def is_of(self, look: _Remembered) -> bool:
        return self.model_copy(update={"sha256": ""}) == look


class KnownHashes:
    """SHA-256 of files, kept in ``folder``, which is local to the node, until a file changes.

    Processes that share the folder hash a file once between them: the second waits for the first.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress

    def sha256(self, path: Path) -> str:
        """In hex. OSError when the file cannot be read, StoreError when the folder cannot be written."""
        stem = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
        kept = self._folder / f"{stem}.json"
        with exclusive(kept.with_suffix(".lock"), path.name, self._progress):
            look = _look(path)
            known = _read(kept)
            if known is None or not known.is_of(look):
                known = look.model_copy(update={"sha256": self._hash(path, look.size_bytes)})
                _write(kept, known)
            return known.sha256

    def _hash(self, path: Path, size_bytes: int) -> str:
        self._progress.step(f"hashing {path.name}")
        digest = hashlib.sha256()
        done_bytes = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                done_bytes += len(chunk)
                self._progress.advance(done_bytes, size_bytes)
        return digest.hexdigest()


def files_with(stored: StoredModel, tensors: Collection[str]) -> tuple[FileEntry, ...]:
    """The version's files without those of its weights that hold none of these tensors."""
    index = stored.folder / INDEX_FILE
    if not index.is_file():
        return stored.manifest.files
    weight_map = ShardIndex.model_validate_json(index.read_bytes()).weight_map
    needed = {file for tensor, file in weight_map.items() if tensor in tensors}
    needless = set(weight_map.values()) - needed
    return tuple(entry for entry in stored.manifest.files if entry.path not in needless)


def check_needed_files(
    stored: StoredModel, held_tensors: Callable[[], Collection[str]], hashes: KnownHashes
) -> str:
    """As ``check_shard_files``, of the files without which a rank with these tensors cannot start.

    Which they are is read from the version, of which all but the weights is checked before.
    """
    beside_weights = [entry for entry in stored.manifest.files if not entry.path.endswith(_WEIGHTS)]
    check_shard_files(stored.folder, beside_weights, hashes)
    return check_shard_files(stored.folder, files_with(stored, held_tensors()), hashes)


def check_shard_files(folder: Path, entries: Sequence[FileEntry], hashes: KnownHashes) -> str:
    """What was found; ChecksumError that names each file which is missing, cut short or altered."""
    problems = [problem for entry in entries if (problem := _problem(folder, entry, hashes))]
    if problems:
        raise ChecksumError("; ".join(problems), remedy=f"remove {folder}, and import or fetch the version again")
    num_bytes = sum(entry.size_bytes for entry in entries)
    return f"{len(entries)} files with {num_bytes} bytes, as in the manifest"


def _problem(folder: Path, entry: FileEntry, hashes: KnownHashes) -> str | None:
    path = folder / entry.path
    try:
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            return f"{entry.path} has {size_bytes} bytes, not {entry.size_bytes}"
        sha256 = hashes.sha256(path)
    except FileNotFoundError:
        return f"{entry.path} is missing"
    return None if sha256 == entry.sha256 else f"{entry.path} has SHA-256 {sha256}, not {entry.sha256}"


def _look(path: Path) -> _Remembered:
    """Taken before the file is read: what changes meanwhile is another file at the next look."""
    status = path.stat()
    return _Remembered(
        path=str(path.resolve()),
        inode=status.st_ino,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def _read(kept: Path) -> _Remembered | None:
    try:
        return _Remembered.model_validate_json(kept.read_bytes())
    except (FileNotFoundError, ValidationError):  # never hashed, or written by another release
        return None


def _write(kept: Path, known: _Remembered) -> None:
    written = kept.with_suffix(".new")
    written.write_text(known.model_dump_json())
    written.replace(kept)
