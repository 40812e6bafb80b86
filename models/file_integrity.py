"""Checksums and durability of files: hash, compare with a manifest, flush to disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from models.errors import ChecksumError
from models.manifest import MANIFEST_FILE, FileEntry, Manifest
from models.progress import Progress

_CHUNK_BYTES = 4 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """All files at any depth, sorted, the manifest left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_FILE)


def hash_files(folder: Path, progress: Progress) -> tuple[FileEntry, ...]:
    """An entry for each file below ``folder``."""
    paths = files_below(folder)
    total_bytes = sum(path.stat().st_size for path in paths)
    entries: list[FileEntry] = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        entries.append(FileEntry(path=name, size_bytes=path.stat().st_size, sha256=sha256_of(path)))
        progress.advance(sum(entry.size_bytes for entry in entries), total_bytes)
    return tuple(entries)


def check_files(manifest: Manifest, found: tuple[FileEntry, ...]) -> None:
    """ChecksumError that names each file which is missing, altered or not in the manifest."""
    expected = {entry.path: entry for entry in manifest.files}
    actual = {entry.path: entry for entry in found}
    problems = [f"{path} is missing" for path in sorted(expected.keys() - actual.keys())]
    problems += [f"{path} is not in the manifest" for path in sorted(actual.keys() - expected.keys())]
    problems += [
        f"{path} has {actual[path].size_bytes} bytes with SHA-256 {actual[path].sha256}, "
        f"not {expected[path].size_bytes} with {expected[path].sha256}"
        for path in sorted(expected.keys() & actual.keys())
        if expected[path] != actual[path]
    ]
    if problems:
        raise ChecksumError(
            f"{manifest.id} is damaged: {'; '.join(problems)}",
            remedy=f"remove {manifest.id} and import it again",
        )


def copy_file(source: Path, target: Path, sha256: str | None) -> None:
    """Copy the bytes, hashing them on the way; ChecksumError unless they have the hash (None: any)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    check_sha256(source.name, digest.hexdigest(), sha256)


def move_file(source: Path, target: Path, sha256: str | None) -> None:
    """Rename within one file system; ChecksumError unless the bytes have the hash (None: any)."""
    if sha256 is not None:
        check_sha256(source.name, sha256_of(source), sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def check_sha256(name: str, actual: str, expected: str | None) -> None:
    """ChecksumError when a source's own hash of a file (None: it has none) is not that of its bytes."""
    if expected is not None and actual != expected:
        raise ChecksumError(
            f"{name} has SHA-256 {actual}, but its source says {expected}",
            remedy="install or download the source again: it was altered or is incomplete",
        )


def seal_tree(folder: Path) -> None:
    """Make the folder and all below it durable, and its files read-only."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
        flush(path)
    flush(folder)


def flush(path: Path) -> None:
    """fsync a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
