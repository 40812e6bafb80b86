"""A real server of a few lines on a Unix socket, started, watched and ended as vLLM's is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from models.engines.child_server import ChildServer
from models.errors import ConfigError, EngineError

GRACE_S = 0.5  # what the child of the server needs is to be killed
# Answers every request with 200, and has a child of its own, as vLLM has its workers.
SERVER = """
import socketserver, subprocess, sys
from http.server import BaseHTTPRequestHandler
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): pass
    def address_string(self): return ""
print("starting", flush=True)
subprocess.Popen(["sleep", "600"])
socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
"""
# Starts it and waits: to be killed.
HOLDER = f"""
import os, sys, time
from models.engines.child_server import ChildServer
command = [sys.executable, "-c", {SERVER!r}]
server = ChildServer("a server", lambda socket: [*command, str(socket)], os.environ, grace_s={GRACE_S})
server.wait_until_ready(30)
print(server.folder, flush=True)
time.sleep(600)
"""

Start = Callable[[str], ChildServer]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[ChildServer] = []

    def run(code: str) -> ChildServer:
        started.append(ChildServer("a server", _command(code), os.environ, grace_s=GRACE_S))
        return started[-1]

    yield run
    for server in started:
        server.close()


def _command(code: str) -> Callable[[Path], Sequence[str]]:
    return lambda socket: [sys.executable, "-c", code, str(socket)]


def _processes(folder: Path) -> list[psutil.Process]:
    """The server that was given the socket in ``folder``, and what it has started."""
    found = [
        each for each in psutil.process_iter(["cmdline"]) if str(folder / "socket") in (each.info["cmdline"] or [])
    ]
    servers = [each for each in found if "guard.py" not in " ".join(each.cmdline())]
    return [process for server in servers for process in (server, *server.children(recursive=True))]


def _are_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


def test_it_is_ready_when_it_answers_and_nothing_is_left_of_it_after_close(start: Start) -> None:
    server = start(SERVER)
    server.wait_until_ready(30)
    server.check()
    processes = _processes(server.folder)
    assert len(processes) == 2
    server.close()
    server.close()
    assert _are_gone(processes)
    assert not server.folder.exists()
    with pytest.raises(EngineError, match="a server has ended; its last lines:\nstarting"):
        server.check()


def test_one_that_ends_while_it_starts_is_refused_with_its_last_words(start: Start) -> None:
    server = start("print('no such model'); raise SystemExit(3)")
    with pytest.raises(ConfigError, match=r"a server ended while it started; its last lines:\nno such model"):
        server.wait_until_ready(30)


def test_one_that_never_answers_is_ended_after_the_limit(start: Start) -> None:
    server = start("import time; print('thinking', flush=True); time.sleep(600)")
    while not (processes := _processes(server.folder)):
        time.sleep(0.02)
    while "thinking" not in server.tail():
        time.sleep(0.02)
    with pytest.raises(ConfigError, match=r"did not start within 0.01 s; .*\nthinking"):
        server.wait_until_ready(0.01)
    assert _are_gone(processes)


def test_when_the_server_is_killed_its_children_end_and_the_check_fails(start: Start) -> None:
    server = start(SERVER)
    server.wait_until_ready(30)
    processes = _processes(server.folder)
    guard = processes[0].parent()
    assert guard is not None
    processes[0].kill()
    assert _are_gone([*processes, guard])
    with pytest.raises(EngineError, match="a server has ended"):
        server.check()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_process_that_started_it(signal_number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        processes = _processes(folder)
        assert len(processes) == 2
        holder.send_signal(signal_number)
    assert _are_gone(processes)


def test_it_ends_with_its_guard(start: Start) -> None:
    server = start(SERVER)
    server.wait_until_ready(30)
    serving, sleeping = _processes(server.folder)
    guard = serving.parent()
    assert guard is not None
    guard.kill()
    assert _are_gone([guard, serving])
    with pytest.raises(EngineError, match="has ended"):
        server.check()
    sleeping.kill()  # vLLM's workers end with the server that started them; this one does not
