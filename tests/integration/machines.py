"""Machines as a cloud has them, each of them the processes of one ``ray start`` on this one.

What runs on a machine is known by a variable in its environment, which all that it starts inherits. Nothing of it
ends with who started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_MARK = "STOWAGE_TEST_MACHINE"
_RAY = Path(sys.executable).parent / "ray"


class Machines:
    """Those of one ``folder``, where each has a file with its tags and a log of its start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(
        self, name: str, tags: Mapping[str, str], options: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Run ``ray start`` with ``options`` on a new machine; it ends when Ray runs there."""
        self._file(name).write_text(json.dumps(dict(tags)))
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [_RAY, "start", "--disable-usage-stats", *options],
                env={**environment, _MARK: self._mark(name), "RAY_CLOUD_INSTANCE_ID": name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def names(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def tags(self, name: str) -> dict[str, str]:
        tags: dict[str, str] = json.loads(self._file(name).read_text())
        return tags

    def processes(self, name: str) -> list[psutil.Process]:
        """All that runs on the machine now."""
        return [process for process in psutil.process_iter() if _mark_of(process) == self._mark(name)]

    def crash(self, name: str) -> None:
        """Kill all that runs on it at once; the machine itself stays, as one whose power went."""
        for process in self.processes(name):
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)

    def remove(self, name: str) -> None:
        """Kill all that runs on it; there is no such machine any more."""
        self.crash(name)
        self._file(name).unlink(missing_ok=True)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _mark(self, name: str) -> str:
        return str(self._folder / name)


def _mark_of(process: psutil.Process) -> str | None:
    with suppress(psutil.Error):
        return process.environ().get(_MARK)
    return None
