"""What children of a process have on the card at hand, as the driver tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.engines.meters import TreeMeter, descendants, make_meter
from models.engines.nvml import process_bytes
from tests.unit.plans import GPU, make_plan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")

HELD_BYTES = 256 << 20
CHILD = f"import torch; held = torch.ones({HELD_BYTES}, dtype=torch.uint8, device='cuda'); print(); input()"


def test_what_a_child_has_on_the_gpu_counts(tmp_path: Path) -> None:
    planned = make_plan({"weights": 1}, device=GPU).planned
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        told = process_bytes(set(descendants(os.getpid())))
        reading = make_meter(tmp_path, "vllm", planned, "cuda:0").read()
        host_bytes = TreeMeter(tmp_path).read().total_bytes
        child.communicate(b"\n")
    if told is None:
        pytest.skip("the driver does not tell of processes here")
    assert HELD_BYTES < reading.total_bytes < HELD_BYTES + (2 << 30)
    assert reading.parts["host"] == pytest.approx(host_bytes, rel=0.2)
