from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from models.engines.heap import ONE_HEAP
from tests.unit.source_tree import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measured through /proc, and about glibc")

# Free a large block, so that glibc keeps smaller ones; then free those, with small ones above that stay.
SCRIPT = """
import sys
from pathlib import Path
from models.engines import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

for name in sys.argv[1:2]:
    getattr(heap, name)()
block = bytearray(b"x") * (30 << 20)
del block
before = resident()
blocks, small = [], []
for _ in range(20):
    blocks.append(bytearray(b"x") * (4 << 20))
    small.append(bytearray(b"x") * (100 << 10))
del blocks
print(resident() - before)
for name in sys.argv[2:]:
    getattr(heap, name)()
print(resident() - before)
"""

# Whether a block of 1 MiB that another thread makes lies in the heap of the process, which ends at sbrk(0).
THREAD = """
import ctypes, threading
from models.engines.heap import keep_freed_blocks

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
keep_freed_blocks()
blocks = []
thread = threading.Thread(target=lambda: blocks.append(libc.malloc(1 << 20)))
thread.start()
thread.join()
end = libc.sbrk(0)
print(end - (64 << 20) < blocks[0] < end)
"""


def test_freed_blocks_go_back_to_the_system() -> None:
    kept, _ = _run(SCRIPT)
    returned, _ = _run(SCRIPT, "return_freed_blocks")
    assert int(kept) > 60 << 20
    assert int(returned) < 8 << 20


def test_kept_blocks_stay_until_they_are_returned() -> None:
    kept, returned = _run(SCRIPT, "keep_freed_blocks", "return_kept_blocks")
    # The block of 30 MiB was kept as well, and is used again.
    assert int(kept) > 40 << 20
    assert int(returned) < 0


def test_threads_share_the_heap_of_a_process_that_starts_with_one() -> None:
    assert _run(THREAD, environment=ONE_HEAP) == ["True"]
    assert _run(THREAD) == ["False"]


def _run(script: str, *arguments: str, environment: Mapping[str, str] | None = None) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()
