"""A server in a child process, reached over a Unix socket, that ends with the process that started it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from models.engines import guard
from models.errors import ConfigError, EngineError

_GRACE_S = 8.0
_PERIOD_S = 0.1
_ANSWER_S = 5.0
_TAIL_BYTES = 1 << 16
_NUM_LINES = 12

CommandFor = Callable[[Path], Sequence[str]]


class ChildServer:
    """Started by the constructor; ``folder`` is private to it and holds the socket and the log.

    ``name`` is what errors call it; ``command_for`` is given the path of the socket. ``grace_s``: how long its
    processes may take to end before they are killed.
    """

    def __init__(
        self, name: str, command_for: CommandFor, environment: Mapping[str, str], *, grace_s: float = _GRACE_S
    ) -> None:
        self._name = name
        self.folder = Path(tempfile.mkdtemp(prefix="stowage-"))
        self.socket = self.folder / "socket"
        self._log = self.folder / "log"
        self._said = ""
        command = [sys.executable, "-I", "-S", guard.__file__, str(self.folder), str(grace_s)]
        with self._log.open("wb") as log:
            self._guard = subprocess.Popen(  # noqa: S603  the command is the engine's
                [*command, *command_for(self.socket)],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._log_reader = self._log.open("rb")

    def wait_until_ready(self, limit_s: float) -> None:
        """Until /health answers 200. ConfigError, after which nothing is left of it, when that never comes."""
        deadline = time.monotonic() + limit_s
        while not self._answers():
            if self._guard.poll() is not None:
                self.close()
                raise self._no_start("ended while it started")
            if time.monotonic() > deadline:
                self.close()
                raise self._no_start(f"did not start within {limit_s:g} s")
            time.sleep(_PERIOD_S)

    def check(self) -> None:
        """EngineError, with its last lines, when it has ended."""
        if self._guard.poll() is not None:
            raise EngineError(f"{self._name} has ended; its last lines:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log, also after it has ended."""
        if not self._log_reader.closed:
            size = os.fstat(self._log_reader.fileno()).st_size
            self._log_reader.seek(max(0, size - _TAIL_BYTES))
            lines = self._log_reader.read().decode(errors="replace").splitlines()
            self._said = "\n".join(lines[-_NUM_LINES:])
        return self._said

    def close(self) -> None:
        """End it and everything that it started; idempotent."""
        self.tail()
        self._log_reader.close()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()
        shutil.rmtree(self.folder, ignore_errors=True)  # left when the guard was killed

    def _no_start(self, how: str) -> ConfigError:
        return ConfigError(
            f"{self._name} {how}; its last lines:\n{self.tail()}\n", remedy="change what they complain about"
        )

    def _answers(self) -> bool:
        connection = _UnixConnection(self.socket)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
