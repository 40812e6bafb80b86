"""Runs a server for as long as somebody holds the other end of its standard input. A program of its own.

``python guard.py FOLDER GRACE_S COMMAND...``: when standard input ends, as it does however its holder ends, or
when the server has ended, everything that the server started ends too, and FOLDER is removed. It uses nothing
but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PERIOD_S = 0.05


def run(folder: Path, grace_s: float, command: list[str]) -> None:
    """Blocks until the last process of the server has ended."""
    server = subprocess.Popen(  # noqa: S603  the engine wrote the command
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_guard,  # noqa: PLW1509  this process has one thread
    )
    ended = os.pidfd_open(server.pid)
    select.select([sys.stdin, ended], [], [])
    _end(server, grace_s)
    shutil.rmtree(folder, ignore_errors=True)


def _end_with_guard() -> None:
    """Should even the guard be killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    """All processes of the server's session: asked to, so that it removes its shared memory, and then killed."""
    if server.poll() is None:
        server.terminate()
    deadline = time.monotonic() + grace_s
    while server.poll() is None or _has_members(server.pid):
        if time.monotonic() > deadline:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            return
        time.sleep(_PERIOD_S)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    # Ray kills the children of a worker that it kills, and not theirs: so the guard is one of theirs.
    if (own := os.fork()) == 0:
        run(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
        os._exit(0)
    os.waitpid(own, 0)
