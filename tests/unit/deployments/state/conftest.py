from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.state.database import Database


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of an SQLite file that is not there yet, in a folder that is not there either."""
    return f"sqlite:///{tmp_path}/new/state.db"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database.open(url) as opened:
        yield opened
