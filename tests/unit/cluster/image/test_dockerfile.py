"""The Dockerfile by its linter, and what other files say too. tests/integration/test_image.py runs its steps."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from cluster.config.environment import SERVE_DEFAULTS
from models.version import VERSION
from tests.unit.cluster.image.dockerfile import (
    DOCKERFILE,
    LAST_STAGE,
    arguments,
    as_list,
    environment,
    health_command,
    instructions,
    of_stage,
)
from tests.unit.source_tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, "-"], input=text, capture_output=True, text=True, check=False)


def test_the_linter_finds_nothing() -> None:
    linted = lint(DOCKERFILE.read_text())
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_the_linter_finds_what_is_wrong() -> None:
    linted = lint(DOCKERFILE.read_text().replace(":3.11.14-slim-bookworm", "", 1) + "RUN sudo true\n")
    assert linted.returncode == 1
    assert "DL3004" in linted.stdout


def test_nodes_start_with_the_settings_of_serve() -> None:
    """However Ray is started on them."""
    ours = {name: value for name, value in environment().items() if name in SERVE_DEFAULTS}
    assert ours == SERVE_DEFAULTS


def test_a_cluster_asks_for_a_token() -> None:
    assert environment()["RAY_AUTH_MODE"] == "token"


def test_the_version_is_the_projects() -> None:
    assert arguments()["VERSION"] == VERSION


def test_nothing_runs_as_root() -> None:
    kinds = [(each.kind, each.value) for each in instructions() if each.stage == LAST_STAGE]
    uid = int(kinds[-1 - [kind for kind, _ in reversed(kinds)].index("USER")][1].partition(":")[0])
    assert uid != 0  # a number: Kubernetes' runAsNonRoot can not look a name up
    assert not {kind for kind, _ in kinds[kinds.index(("USER", "1000:1000")) :]} & {"RUN", "COPY", "ADD"}


def test_no_compiler_is_in_the_image_but_for_vllm_on_a_gpu() -> None:
    (install,) = (run for run in of_stage(LAST_STAGE, "RUN") if "apt-get" in run)
    compilers = set(re.findall(r"\S*(?:gcc|g\+\+|build-essential|clang)\S*", install))
    assert compilers == {"gcc"}
    assert 'if [ "$VLLM" = cuda ]; then echo gcc' in install


def test_signals_reach_what_runs() -> None:
    (entrypoint,), (command,) = of_stage(LAST_STAGE, "ENTRYPOINT"), of_stage(LAST_STAGE, "CMD")
    assert as_list(entrypoint)[0] == "tini"  # and not a shell, which would keep them
    assert as_list(command) == ["stowage", "serve", "serve_config.yaml"]


def test_the_health_check_asks_the_router() -> None:
    assert "$STOWAGE_HEALTH_URL" in health_command()[-1]
    assert environment()["STOWAGE_HEALTH_URL"].endswith("/healthz")


def pinned() -> dict[str, SpecifierSet]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    rows = map(Requirement, (line for line in lines if line and not line.startswith("#")))
    return {canonicalize_name(row.name): row.specifier for row in rows}


def with_what_they_need(requirements: Iterable[str], extra: str, known: set[str]) -> set[str]:
    """The distributions that pip installs for them here, by name; ``extra`` is that of who requires them."""
    for needed in map(Requirement, requirements):
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            for each in {"", *needed.extras}:
                name = f"{canonicalize_name(needed.name)}[{each}]"
                if name not in known:
                    known.add(name)
                    with_what_they_need(distribution(needed.name).requires or (), each, known)
    return {name.partition("[")[0] for name in known}


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_each_package_of_the_image_has_one_version(extra: str) -> None:
    """As far as this environment knows: another platform, or PyTorch for CUDA, may need more."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get(extra, [])]
    installed = with_what_they_need(wanted, "", set())
    assert len(installed) > 80
    assert {name for name in installed if not pinned()[name].contains(distribution(name).version)} == set()
