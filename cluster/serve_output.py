"""``serve run`` as a command, and what can be learned from its output."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

_DASHBOARD = re.compile(r"View the dashboard at\s+(https?://\S+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def serve_command(config: Path) -> list[str]:
    """``serve run`` of the Ray that is installed beside this Python."""
    return [str(Path(sys.executable).with_name("serve")), "run", str(config)]


class ServeOutput:
    """Passes lines on and remembers where Ray says that its dashboard is."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.dashboard_url: str | None = None

    def line(self, line: str) -> None:
        found = _DASHBOARD.search(_COLOURS.sub("", line))
        if found:
            self.dashboard_url = found[1]
        self._show(line)
