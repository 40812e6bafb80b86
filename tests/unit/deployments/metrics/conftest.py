from __future__ import annotations

import pytest

from tests.unit.deployments.metrics.reported import Reported


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Reported:
    return Reported(monkeypatch)
