from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.process_tree import find_in_tree, memory, parse_smaps_rollup, parse_stat, tree_cpu_s

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1024**2
ROLLUP = """55d0c0a00000-7ffd5d9fe000 ---p 00000000 00:00 0                          [rollup]
Rss:              130100 kB
Pss:               90011 kB
Pss_Dirty:         81000 kB
Private_Clean:        20 kB
Private_Dirty:     80000 kB
"""
# A grandchild computes; its parent waits for it and then stays.
BUSY_GRANDCHILD = """
import subprocess, sys, time
code = "import time\\nend = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
subprocess.run([sys.executable, "-c", code], check=True)
print("done", flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent_of_the_dead() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", BUSY_GRANDCHILD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield process
        process.kill()


def test_time_of_descendants_that_have_ended_is_counted(parent_of_the_dead: subprocess.Popen[str]) -> None:
    assert tree_cpu_s(parent_of_the_dead.pid) >= 0.3


def test_time_of_living_descendants_is_counted() -> None:
    before = tree_cpu_s(os.getpid())
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        give_up_at = time.monotonic() + 20
        while tree_cpu_s(os.getpid()) < before + 0.2:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
    finally:
        busy.kill()
        busy.wait()


def test_a_process_is_found_by_its_title(parent_of_the_dead: subprocess.Popen[str]) -> None:
    assert find_in_tree(os.getpid(), f"{sys.executable} -c \nimport subprocess") == parent_of_the_dead.pid
    with pytest.raises(LookupError, match="0 processes are called 'nobody'"):
        find_in_tree(os.getpid(), "nobody")


@given(st.text(st.characters(exclude_characters="\0")), st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_any_name_of_a_process_can_stand_before_its_times(name: str, ticks: list[int]) -> None:
    times = " ".join(str(tick) for tick in ticks)
    process = parse_stat(f"17 ({name}) S 4 17 17 0 -1 4194560 100 200 3 4 {times} 20 0 1 0 5 6 7")
    assert (process.pid, process.parent) == (17, 4)
    assert process.cpu_s == pytest.approx(sum(ticks) / TICKS_PER_S)


def test_memory_is_read_in_bytes() -> None:
    seen = parse_smaps_rollup(ROLLUP)
    assert (seen.proportional, seen.unique, seen.resident) == (90011 * 1024, 80020 * 1024, 130100 * 1024)


def test_memory_of_a_real_process_grows_with_what_it_writes() -> None:
    before = memory(os.getpid())
    block = bytearray(os.urandom(64 * MIB))
    after = memory(os.getpid())
    assert after.unique - before.unique >= 0.9 * len(block)
    assert after.unique <= after.proportional <= after.resident
