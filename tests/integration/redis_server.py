"""A real Redis server for tests, with a password, in a folder of its own, on loopback."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.integration.cluster import eventually, free_port

_INSTALL = "redis-server is not here: run .ci/services as root, or apt-get install redis-server"


class RedisServer:
    """Runs until ``stop``."""

    def __init__(self, folder: Path, password: str) -> None:
        program = shutil.which("redis-server")
        assert program, _INSTALL
        self.password = password
        self._port = free_port()
        settings = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "requirepass": password,
            "dir": str(folder),
            "appendonly": "yes",
        }
        with (folder / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, *(word for name, value in settings.items() for word in (f"--{name}", value))],
                stdout=log,
                stderr=log,
            )
        eventually(self._listens, 30, f"Redis listens: {(folder / 'redis.log').read_text()}")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False
