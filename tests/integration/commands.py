"""Commands of the environment that tests run, and waiting for what comes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

BIN = Path(sys.executable).parent

Result = TypeVar("Result")


def eventually(probe: Callable[[], Result | None], timeout_s: float, what: str) -> Result:
    """The first truthy answer of ``probe``; AssertionError after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.2)


def run_command(*command: str, expect: int = 0, env: dict[str, str] | None = None) -> str:
    """Run one of the environment's commands; its output. AssertionError on another exit code."""
    result = _run(*command, expect=expect, env=env)
    return result.stdout + result.stderr


def run_json(*command: str) -> Any:
    """What one of the environment's commands prints with ``--json``; what it says beside that does not count."""
    return json.loads(_run(*command, "--json").stdout)


def _run(*command: str, expect: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "RAY_AUTH_MODE": "token", "COLUMNS": "200", **(env or {})},
    )
    assert result.returncode == expect, result.stdout + result.stderr
    return result
