from __future__ import annotations

import tomllib

from models.version import VERSION
from tests.unit.source_tree import ROOT


def test_it_is_the_projects() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
