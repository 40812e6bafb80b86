"""Where a node keeps its part of the journal."""

from __future__ import annotations

from pathlib import Path

DEFAULT_AUDIT_DIR = "~/.stowage/audit"


def audit_folder(location: str) -> Path:
    """The folder that a configuration or a command names."""
    return Path(location).expanduser()
