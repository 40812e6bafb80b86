"""``serve run`` as a command, and what can be learned from its output."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from models.errors import StowageError

_DASHBOARD = re.compile(r"View the dashboard at\s+(https?://\S+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OWN_POLL = re.compile(r"\bGET /readyz \d{3}\b")


def serve_command(config: Path, python: Path = Path(sys.executable)) -> list[str]:
    """``serve run`` of the Ray that is installed beside ``python``. StowageError when there is none."""
    command = python.with_name("serve")
    if not command.exists():
        raise StowageError(f"{command} does not exist", remedy="install Ray Serve: pip install 'ray[serve]'")
    return [str(command), "run", str(config)]


class ServeOutput:
    """Shows what ``serve run`` prints, but for the polls of ``stowage serve`` itself in the access log.

    ``dashboard_url`` is where Ray says that its dashboard is, once it has said so.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.dashboard_url: str | None = None

    def line(self, line: str) -> None:
        """Take one line."""
        found = _DASHBOARD.search(_COLOURS.sub("", line))
        if found:
            self.dashboard_url = found[1]
        if not _OWN_POLL.search(line):
            self._show(line)
