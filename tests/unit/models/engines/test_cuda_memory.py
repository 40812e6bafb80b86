"""The cap of a GPU, with a device that answers as PyTorch's would; tests/gpu has the real one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from models.engines.base import EngineSettings
from models.engines.cuda_memory import limit_cuda_memory
from models.errors import ConfigError

GIB = 1024**3


@pytest.fixture
def fractions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, torch.device]]:
    """The fractions that were set, on a device of 80 GiB."""
    found: list[tuple[float, torch.device]] = []
    total = SimpleNamespace(total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: total)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda fraction, device: found.append((fraction, device))
    )
    return found


def settings(device: str, cap_bytes: int | None) -> EngineSettings:
    return EngineSettings(max_model_len=16, device=device, device_cap_bytes=cap_bytes)


def test_the_cap_is_a_fraction_of_the_whole_device(fractions: list[tuple[float, torch.device]]) -> None:
    limit_cuda_memory(settings("cuda:0", 20 * GIB))
    assert fractions == [(0.25, torch.device("cuda:0"))]


@pytest.mark.parametrize(("device", "cap_bytes"), [("cpu", 20 * GIB), ("cuda:0", None)])
def test_nothing_is_capped_without_a_gpu_or_a_plan(
    fractions: list[tuple[float, torch.device]], device: str, cap_bytes: int | None
) -> None:
    limit_cuda_memory(settings(device, cap_bytes))
    assert fractions == []


def test_a_device_that_is_smaller_than_planned_is_refused(fractions: list[tuple[float, torch.device]]) -> None:
    with pytest.raises(ConfigError, match=f"{81 * GIB} bytes of cuda:0, which has {80 * GIB}"):
        limit_cuda_memory(settings("cuda:0", 81 * GIB))
    assert fractions == []
