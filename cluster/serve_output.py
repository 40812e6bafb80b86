"""``serve run`` as a command, and what can be learned from its output."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from cluster.live.readiness import POLL_ID
from models.errors import StowageError

_DASHBOARD = re.compile(r"View the dashboard at\s+(https?://\S+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OWN_POLL = re.compile(rf"\b{POLL_ID}\b")
# Ray's and Serve's own account of a start, and the progress bars of libraries in other processes.
_CHATTER = re.compile(r"\b(INFO|SUCC)\s+(\d{4}-\d\d-\d\d |\w+\.py:)|Loading weights:|^\([^)]*pid=\d+\)\s*$|^\s*$")


def serve_command(config: Path, python: Path = Path(sys.executable)) -> list[str]:
    """``serve run`` of the Ray that is installed beside ``python``. StowageError when there is none."""
    command = python.with_name("serve")
    if not command.exists():
        raise StowageError(f"{command} does not exist", remedy="install Ray Serve: pip install 'ray[serve]'")
    return [str(command), "run", str(config)]


class ServeOutput:
    """Shows the warnings and errors of ``serve run``, or with ``everything`` all that it prints but for the
    polls of ``stowage serve`` itself in the access log.

    ``dashboard_url`` is where Ray says that its dashboard is, once it has said so.
    """

    def __init__(self, show: Callable[[str], None], *, everything: bool = False) -> None:
        self._show = show
        self._hidden = _OWN_POLL if everything else _CHATTER
        self.dashboard_url: str | None = None

    def line(self, line: str) -> None:
        """Take one line."""
        plain = _COLOURS.sub("", line)
        found = _DASHBOARD.search(plain)
        if found:
            self.dashboard_url = found[1]
        if not self._hidden.search(plain):
            self._show(line)
