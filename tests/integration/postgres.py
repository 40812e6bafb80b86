"""A real PostgreSQL server for tests, in a folder of its own, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.integration.cluster import free_port

_START_TIMEOUT_S = 60.0
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
_INSTALL = "PostgreSQL's server programs are not here: run .ci/services as root, or apt-get install postgresql"


def _program(name: str) -> str:
    """Debian keeps the server's programs outside of the search path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    assert found, f"{name}: {_INSTALL}"
    return found


class PostgresServer:
    """One server; ``kill`` leaves its data as a crash does, and ``start`` brings it back."""

    def __init__(self) -> None:
        self._user = _UNPRIVILEGED if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own is closed to other users
        self._data = self._folder / "data"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run(
            "initdb", "--pgdata", self._data, "--username=stowage", "--auth=trust", "--no-sync", "--no-locale"
        )

    def url(self, database: str) -> str:
        return f"postgresql://stowage@127.0.0.1:{self._port}/{database}"

    def new_database(self, encoding: str = "UTF8") -> str:
        """The URL of a database that nobody has used."""
        name = f"state_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}")
            connection.execute(create.format(sql.Identifier(name), sql.Literal(encoding)))
        return self.url(name)

    def start(self) -> None:
        """Returns when the server answers. After a crash its last processes may still have to go."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            if self._process is None or self._process.poll() is not None:
                self._process = self._spawn()
            time.sleep(0.1)

    def kill(self) -> None:
        """As the kernel would, when memory runs out."""
        self._signal(signal.SIGKILL)

    def remove(self) -> None:
        self._signal(signal.SIGINT)  # fast shutdown: clients are cut off
        shutil.rmtree(self._folder)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [_program("postgres"), "-D", self._data, "-p", str(self._port), *settings],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
            )

    def _run(self, name: str, *arguments: str | Path) -> None:
        ran = subprocess.run(
            [_program(name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            user=self._user,
        )
        assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of the session. Those that kill it start it again."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres_server.new_database()
