"""The commands of docs/parallelism.md print what it says they print. They need no cluster and no weights."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.integration.cluster import BIN, ROOT
from tests.integration.printed import matches
from tests.markdown import examples


def test_the_commands_print_what_the_document_says(tmp_path: Path) -> None:
    """In its order: the first writes what the others plan."""
    found = list(examples((ROOT / "docs" / "parallelism.md").read_text()))
    assert found
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    for example in found:
        done = subprocess.run(
            ["bash", "-c", example.command.text],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert matches(f"...{example.output.text}...", printed), printed
