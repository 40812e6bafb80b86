"""One engine at a time starts on a device. The kernel frees the lock of a process that dies."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, ValidationError

from models.errors import ConfigError
from models.manifest import Frozen


class Holder(Frozen):
    """Who holds a start lock: the replica's name, its process, and since when."""

    name: str
    pid: int
    since: AwareDatetime

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid}, since {self.since:%H:%M:%S} UTC)"


class StartLock:
    """The lock of one ``device`` between all processes that give the same local ``folder``.

    ``now`` tells the time for the record of who holds it.
    """

    def __init__(self, folder: Path, device: str, now: Callable[[], AwareDatetime]) -> None:
        stem = re.sub(r"[^A-Za-z0-9+-]", "_", device)
        self._lock = FileLock(folder / f"{stem}.lock")
        self._record = folder / f"{stem}.json"
        self._now = now

    @contextmanager
    def held_by(self, name: str, on_wait: Callable[[Holder | None], None]) -> Generator[None]:
        """Hold the lock; blocks until nobody else does, without a limit.

        ``on_wait`` is called once if it has to wait, with the holder where that one has left its name. ConfigError
        when the folder cannot be written.
        """
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            self._acquire(on_wait)
        except OSError as error:
            raise ConfigError(
                f"the start lock {self._lock.lock_file} cannot be had: {error}",
                remedy="give the replica a temporary folder (TMPDIR) that it can write",
            ) from error
        try:
            self._write(Holder(name=name, pid=os.getpid(), since=self._now()))
            yield
        finally:
            self._record.unlink(missing_ok=True)
            self._lock.release()

    def holder(self) -> Holder | None:
        """Who has written its name last; a process that was killed leaves it behind until the next one starts."""
        try:
            return Holder.model_validate_json(self._record.read_bytes())
        except (FileNotFoundError, ValidationError):  # nobody, or one that is just writing
            return None

    def _acquire(self, on_wait: Callable[[Holder | None], None]) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            on_wait(self.holder())
            self._lock.acquire()

    def _write(self, holder: Holder) -> None:
        """At once for readers, who hold no lock."""
        written = self._record.with_suffix(".new")
        written.write_text(holder.model_dump_json())
        written.replace(self._record)
