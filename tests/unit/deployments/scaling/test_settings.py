"""How a version scales."""

from __future__ import annotations

import pytest

from deployments.scaling.settings import Kind
from tests.unit.deployments.scaling.loads import settings


@pytest.mark.parametrize(
    "changes",
    [
        {"min_replicas": 3, "max_replicas": 2},
        {"min_replicas": -1},
        {"max_replicas": 0},
        {"max_num_seqs": 0},
        {"max_tokens": 0},
        {"queue_s": 0.0},
        {"headroom": -1.0},
        {"idle_s": -1.0},
        {"down_window_s": -1.0},
        {"max_step": 0},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(changes)))):
        settings(Kind.GENERATION, **changes)
