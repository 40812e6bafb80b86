"""A lock between processes on one machine. It vanishes with the process that holds it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from models.progress import Progress


@contextmanager
def exclusive(path: Path, what: str, progress: Progress) -> Generator[None]:
    """Hold the lock on ``path``; says so when another process has to finish ``what`` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.step(f"waiting for another process that works on {what}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
