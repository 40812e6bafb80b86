"""Who makes a change from the command line."""

from __future__ import annotations

import getpass
import os


def actor() -> str:
    """As the audit log names them. In a container, a user may have a number and no name."""
    try:
        return f"cli:{getpass.getuser()}"
    except KeyError:
        return f"cli:uid-{os.getuid()}"
