from __future__ import annotations

from pathlib import Path

import pytest

from models.importing.licence import read_licence


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\ntext", "apache-2.0"),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", "mit, cc-by-4.0"),
        ("---\ntags: x\n---\n", None),
        ("---\n: [\n---\n", None),
        ("---\n- a\n---\n", None),
        ("license: mit\n", None),
    ],
)
def test_front_matter_of_the_readme(tmp_path: Path, readme: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    assert read_licence(tmp_path) == licence


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.txt", "license-apache.md", "COPYING"])
def test_else_the_licence_file_is_named(tmp_path: Path, name: str) -> None:
    assert read_licence(tmp_path) is None
    (tmp_path / name).write_text("x", encoding="utf-8")
    assert read_licence(tmp_path) == f"see {name}"
