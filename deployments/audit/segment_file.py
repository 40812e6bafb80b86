"""The segment that a writer appends to."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from deployments.audit.segments import Segment


class SegmentFile:
    """An open, locked segment; the lock ends with ``close`` or with the process, however it ends.

    All methods raise OSError where the disk refuses. Not for several threads.
    """

    def __init__(self, path: Path, handle: int, size: int) -> None:
        self._path = path
        self._handle = handle
        self._size = self._first_size = size
        self._is_torn = False

    @classmethod
    def create(cls, folder: Path, segment: Segment, first_line: bytes) -> SegmentFile:
        """A new segment, not synced yet. Its name appears together with its lock and its first line.

        FileExistsError if there is one: another process writes under the same name.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unnamed = folder / f".{segment.file}.{os.getpid()}"
        handle = os.open(unnamed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(handle, first_line)
            (folder / segment.file).hardlink_to(unnamed)
        except BaseException:
            os.close(handle)
            raise
        finally:
            unnamed.unlink(missing_ok=True)
        return cls(folder / segment.file, handle, len(first_line))

    @property
    def size(self) -> int:
        """Bytes of complete lines."""
        return self._size

    @property
    def is_fresh(self) -> bool:
        """Whether nothing follows the first line."""
        return self._size == self._first_size

    def is_in_place(self) -> bool:
        """Whether its name still leads to it: otherwise what is written is on no disk."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._handle))
        except FileNotFoundError:
            return False

    def append(self, line: bytes) -> None:
        """In the file, and safe from the end of this process, on return; an error leaves no part of it."""
        self.repair()
        self._is_torn = True
        _write(self._handle, line)
        self._is_torn = False
        self._size += len(line)

    def repair(self) -> None:
        """Cut off what a failed ``append`` has left."""
        if self._is_torn:
            os.ftruncate(self._handle, self._size)
            self._is_torn = False

    def duplicate(self) -> int:
        """A handle to sync it by, while others append."""
        return os.dup(self._handle)

    def sync(self) -> None:
        os.fsync(self._handle)

    def close(self) -> None:
        """What is appended later fails, instead of reaching whatever file the system gives the handle next."""
        handle, self._handle = self._handle, -1
        os.close(handle)


def _write(handle: int, line: bytes) -> None:
    """In one call: a process that is killed leaves the whole line or, where it crosses pages, its start."""
    written = os.write(handle, line)
    if written != len(line):
        raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes could be written")


def sync_folder(folder: Path) -> None:
    """Make the names of its files safe from a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
