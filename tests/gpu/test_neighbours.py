"""Two processes on one card, each within its fraction: the one that exhausts its own leaves the other alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.unit.source_tree import ROOT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")

# Takes memory until its cap refuses more (or, as a good neighbour, half of its cap), and says how much it has got.
PROCESS = """
import sys
import torch
from models.engines.base import EngineSettings
from models.engines.cuda_memory import limit_cuda_memory

cap_bytes, wanted_bytes = int(sys.argv[1]), int(sys.argv[2])
limit_cuda_memory(EngineSettings(max_model_len=16, device="cuda:0", device_cap_bytes=cap_bytes))
held = []
try:
    while sum(each.nbytes for each in held) < wanted_bytes:
        held.append(torch.ones(64 * 1024**2, dtype=torch.uint8, device="cuda:0"))
except torch.OutOfMemoryError:
    pass
print(torch.cuda.memory_reserved(), flush=True)
sys.stdin.readline()
del held[-2:]  # room for the comparison
print(all(bool((each == 1).all()) for each in held), flush=True)
"""


def start(cap_bytes: int, wanted_bytes: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(cap_bytes), str(wanted_bytes)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate("\n", timeout=120)
    return output.strip()


def test_a_neighbour_that_exhausts_its_fraction_is_not_noticed() -> None:
    total_bytes = torch.cuda.get_device_properties(0).total_memory
    small_cap, large_cap = int(0.3 * total_bytes), int(0.6 * total_bytes)
    greedy = start(small_cap, total_bytes)
    assert greedy.stdout is not None
    taken = int(greedy.stdout.readline())
    good = start(large_cap, large_cap // 2)
    assert good.stdout is not None
    reserved = int(good.stdout.readline())
    assert small_cap - 512 * 1024**2 < taken <= small_cap
    assert large_cap // 2 <= reserved <= large_cap
    assert [finish(greedy), finish(good)] == ["True", "True"]
    assert [greedy.returncode, good.returncode] == [0, 0]
