"""The commands of docs/planning.md print what it says they print. They need no cluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.cluster import BIN, ROOT
from tests.integration.printed import matches
from tests.markdown import Example, examples

CHANGES = (("max_num_seqs: 8", "max_num_seqs: 4"), ("num_cpus: 0.25", "num_cpus: 0.5"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The demonstration's configuration, and one that would follow it."""
    text = (ROOT / "serve_config.yaml").read_text()
    (tmp_path / "serve_config.yaml").write_text(text)
    for old, new in CHANGES:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "new.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "example",
    list(examples((ROOT / "docs" / "planning.md").read_text())),
    ids=lambda example: example.command.text.strip(),
)
def test_a_command_prints_what_the_document_says(example: Example, folder: Path) -> None:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", example.command.text],
        cwd=folder,
        env={**os.environ, "PATH": path, "HOME": str(folder)},  # a store without old manifests
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert matches(f"...{example.output.text}...", printed), printed
