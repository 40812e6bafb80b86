from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.process_memory import ProcessMemory, parse_process_memory, read_process_memory

MIB = 1024**2

SMAPS = b"""\
564cec715000-564cec717000 r-xp 00000000 fe:00 260131                     /usr/lib/libtorch.so
Size:                  8 kB
Rss:                   8 kB
Pss:                   2 kB
Pss_Dirty:             1 kB
SwapPss:               0 kB
VmFlags: rd mr mw me
7f0000000000-7f0000100000 r--p 00000000 fe:00 260132                     /store/m/1/model one.safetensors
Rss:                 100 kB
Pss:                  50 kB
SwapPss:               0 kB
VmFlags: rd mr mw me
7f0000100000-7f0000200000 r--p 00100000 fe:00 260132                     /store/m/1/model one.safetensors (deleted)
Rss:                  10 kB
Pss:                   5 kB
VmFlags: rd mr mw me
7f0000300000-7f0000400000 r--p 00000000 fe:00 260133                     /store/m/10/model.safetensors
Rss:                  30 kB
Pss:                  30 kB
7fb000000000-7fb000100000 rw-p 00000000 00:00 0
Rss:                  40 kB
Pss:                  40 kB
SwapPss:               4 kB
"""
STATUS = b"Name:\tpython\nVmHWM:\t     300 kB\nVmRSS:\t     188 kB\nVmSwap:\t 4 kB\n"


def test_mappings_of_the_weights_are_told_from_everything_else() -> None:
    seen = parse_process_memory(SMAPS, STATUS, Path("/store/m/1"))
    assert seen == ProcessMemory(
        mapped_bytes=110 * 1024,
        mapped_share_bytes=55 * 1024,
        other_bytes=(2 + 30 + 40 + 4) * 1024,
        resident_bytes=188 * 1024,
        peak_resident_bytes=300 * 1024,
        mapped_files={"model one.safetensors": 110 * 1024},
    )
    assert seen.total_bytes == (110 + 76) * 1024


def test_files_are_told_apart_by_their_path() -> None:
    seen = parse_process_memory(SMAPS, STATUS, Path("/store/m"))
    assert seen.mapped_files == {"1/model one.safetensors": 110 * 1024, "10/model.safetensors": 30 * 1024}
    assert seen.mapped_bytes == 140 * 1024


def test_a_process_that_has_mapped_no_weights_has_only_the_rest() -> None:
    seen = parse_process_memory(SMAPS, STATUS, Path("/store/other/1"))
    assert (seen.mapped_bytes, seen.other_bytes) == (0, (2 + 50 + 5 + 30 + 40 + 4) * 1024)


def test_what_this_process_maps_and_allocates_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(8 * MIB))
    before = read_process_memory(tmp_path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 0
        private = np.ones(64 * MIB, dtype=np.uint8)  # too large for what malloc keeps
        after = read_process_memory(tmp_path)
    assert (before.mapped_bytes, after.mapped_bytes) == (0, 8 * MIB)
    assert after.other_bytes - before.other_bytes == pytest.approx(private.nbytes, abs=2 * MIB)
    assert after.peak_resident_bytes >= after.resident_bytes - MIB


def test_two_processes_share_a_mapping_half_and_half(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(8 * MIB))
    program = (
        "import mmap, sys\n"
        "file = open(sys.argv[1], 'rb')\n"
        "mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "print(sum(mapped[::4096]), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.safetensors")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"0\n"
        seen = read_process_memory(tmp_path, Path(f"/proc/{started[0].pid}"))
    finally:
        for process in started:
            process.communicate(timeout=30)
    assert (seen.mapped_bytes, seen.mapped_share_bytes) == (8 * MIB, 4 * MIB)
