"""What is remembered, as JSON."""

from __future__ import annotations

import json

from deployments.scaling.decide import decide
from deployments.scaling.memory import Memory
from tests.unit.deployments.scaling.loads import NOON, generating, load, settings


def test_it_survives_json_text() -> None:
    memory = Memory()
    for second in range(100):
        _, memory = decide(load(generating(num_running=second % 16), now=NOON + second), settings(), memory)
    text = json.dumps(memory.to_json())
    assert Memory.from_json(json.loads(text)) == memory
    assert len(text) < 2000


def test_of_nothing_it_is_new() -> None:
    assert Memory.from_json({}) == Memory()
