"""A lock between processes on one machine. It vanishes with the process that holds it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from models.errors import StoreError
from models.progress import Progress


@contextmanager
def exclusive(path: Path, what: str, progress: Progress) -> Generator[None]:
    """Hold the lock on ``path``; says so when another process has to finish ``what`` first.

    StoreError when the lock cannot be had because its folder cannot be written.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _wait_for(lock, what, progress)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be locked: {error}", remedy="use a store in a folder that can be written"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _wait_for(lock: BaseFileLock, what: str, progress: Progress) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.step(f"waiting for another process that works on {what}")
        lock.acquire()
