"""What ranks compare before they work together."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from models.parallel.versions import library_versions, source_digest


def test_the_versions_are_those_of_what_is_installed() -> None:
    import torch  # noqa: PLC0415 - only here

    assert library_versions()["torch"] == torch.__version__
    assert library_versions()["ray"] == version("ray")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "parallel").mkdir(parents=True)
    (folder / "parallel" / "steps.py").write_text("WORDS = 3\n")
    (folder / "errors.py").write_text("class Failed(Exception): ...\n")
    return folder


def test_the_same_source_is_the_same_wherever_it_lies(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "site-packages" / "models"
    shutil.copytree(package, elsewhere)
    (elsewhere / "__pycache__").mkdir()
    (elsewhere / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"compiled")
    assert source_digest([package]) == source_digest([elsewhere])
    assert len(source_digest([package])) == 8


def test_a_line_and_a_name_make_a_difference(package: Path) -> None:
    digests = [source_digest([package])]
    (package / "parallel" / "steps.py").write_text("WORDS = 4\n")
    digests.append(source_digest([package]))
    (package / "parallel" / "steps.py").rename(package / "parallel" / "words.py")
    digests.append(source_digest([package]))
    assert len(set(digests)) == 3
