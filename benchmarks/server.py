"""Servers under test: each in a process group of its own, on a port that nobody else uses."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from benchmarks.process_tree import tree_cpu_s
from cluster.child import ChildProcess, Patience
from cluster.live.http_get import UnreachableError, get
from cluster.port import require_free_port
from cluster.serve_output import serve_command
from models.errors import StowageError

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens, and the process that all of its others descend from."""

    base_url: str
    pid: int

    def cpu_s(self) -> float:
        """CPU-seconds that it has used so far."""
        return tree_cpu_s(self.pid)

    def idle_cores(self, duration_s: float = 3.0) -> float:
        """Cores that it keeps busy when nobody calls it."""
        before = self.cpu_s()
        time.sleep(duration_s)
        return (self.cpu_s() - before) / duration_s


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str], port: int, ready_path: str, timeout_s: float = 120
) -> Iterator[Server]:
    """Start ``command``, wait until ``ready_path`` answers 200, and stop it at the end.

    StowageError when the port is taken (two Serve instances would silently share it), or when the server
    ends or is not ready in time.
    """
    require_free_port(HOST, port)
    # A shell that starts a job in the background makes it ignore SIGINT, and its children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    base_url = f"http://{HOST}:{port}"
    child = ChildProcess(command, environment, on_line=_ignore)
    try:
        _wait_until_ready(base_url + ready_path, child, timeout_s)
        yield Server(base_url, child.pid)
    finally:
        child.stop(Patience())


@contextmanager
def running_serve(config: Path, port: int, settings: Mapping[str, str], folder: Path) -> Iterator[Server]:
    """``serve run`` of ``config`` on another port, in a Ray instance of its own.

    ``$folder`` in the configuration is ``folder``.
    """
    command = serve_command(_moved(config, port, folder))
    with running(command, serve_environment(settings, folder), port, "/readyz") as server:
        yield server


def serve_environment(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """This process's environment with ``settings``, and with no other setting of Serve's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    haproxy = {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
    }
    paths = {"PYTHONPATH": str(ROOT), "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1"}
    return {**own, **paths, **haproxy, **settings}


def python_script(name: str) -> str:
    """The command ``name`` that is installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def _moved(config: Path, port: int, folder: Path) -> Path:
    text = Template(config.read_text(encoding="utf-8")).substitute(folder=folder)
    content = yaml.safe_load(text)
    content["http_options"] = {"host": HOST, "port": port}
    moved = folder / f"{config.stem}-{port}.yaml"
    moved.write_text(yaml.safe_dump(content), encoding="utf-8")
    return moved


def _wait_until_ready(url: str, child: ChildProcess, timeout_s: float) -> None:
    give_up_at = time.monotonic() + timeout_s
    while (answer := _ask(url)) is not None:
        if child.exit_code() is not None:
            raise StowageError("\n".join(["the server ended while it was starting:", *child.last_lines()]))
        if time.monotonic() > give_up_at:
            raise StowageError("\n".join([*child.last_lines(), f"not ready after {timeout_s:g} s: {answer}"]))
        time.sleep(_POLL_S)


def _ask(url: str) -> str | None:
    """None when the server is ready, else what it answers."""
    try:
        reply = get(url, timeout_s=5)
    except UnreachableError as error:
        return str(error)
    return None if reply.status == 200 else reply.body.decode(errors="replace")


def _ignore(_: str) -> None:
    """The end of the output is kept by the child process for error messages."""
