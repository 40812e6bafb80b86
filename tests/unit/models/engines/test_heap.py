from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.source_tree import ROOT

# Free a large block, so that glibc keeps smaller ones; then free those, with small ones above that stay.
SCRIPT = """
import sys
from pathlib import Path
from models.engines.heap import return_freed_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "returned":
    return_freed_blocks()
block = bytearray(b"x") * (30 << 20)
del block
before = resident()
blocks, small = [], []
for _ in range(20):
    blocks.append(bytearray(b"x") * (4 << 20))
    small.append(bytearray(b"x") * (100 << 10))
del blocks
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measured through /proc, and about glibc")
def test_freed_blocks_go_back_to_the_system() -> None:
    kept, returned = (
        int(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, mode], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("kept", "returned")
    )
    assert kept > 60 << 20
    assert returned < 8 << 20
