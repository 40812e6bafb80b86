"""The commands of docs/operations.md, one after the other, as an operator would type them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.cluster import BIN, ROOT, Cluster, application
from tests.integration.printed import matches
from tests.markdown import Block, blocks

GUIDE = (ROOT / "docs" / "operations.md").read_text()


def steps() -> Iterator[tuple[str, str]]:
    """Each command, and what it prints; anything, where the guide does not say."""
    for block, following in pairwise([*blocks(GUIDE), Block("", "")]):
        if block.language == "sh":
            yield block.text, following.text if following.language == "text" else "..."


@pytest.fixture
def shell(cluster: Cluster, postgres_url: str, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the configuration that is deployed, and variables that lead to its cluster."""
    (tmp_path / "serve_config.yaml").write_text((cluster.folder / "serve_config.yaml").read_text())
    model, router = application(cluster.config, "minilm@1"), application(cluster.config, "router")
    env = {
        "RAY_DASHBOARD_ADDRESS": cluster.dashboard_url,
        "STOWAGE_URL": cluster.base_url,
        "RAY_AUTH_MODE": "token",
        "STOWAGE_STATE": postgres_url,
        "STATE_FILE": router["args"]["state"].removeprefix("sqlite:///"),
        "STORE": model["args"]["store"],
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
    }
    try:
        yield tmp_path, env
    finally:
        cluster.restore()


def test_every_command_does_what_the_guide_says(shell: tuple[Path, dict[str, str]]) -> None:
    folder, env = shell
    for command, written in steps():
        if command.startswith("export "):
            continue  # the same variables, with the addresses of this cluster
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert matches(written, done.stdout), f"{command}\n{done.stdout}"


def test_the_guide_shows_each_task() -> None:
    commands = "".join(command for command, _ in steps())
    for part in ("validate", "plan", "serve deploy", "diff", "rollout start", "rollout rollback", "models scale"):
        assert part in commands
    for part in ("VACUUM INTO", "pg_dump", "pg_restore --clean", "keys rotate", "audit verify", "models verify"):
        assert part in commands
