from __future__ import annotations

from pathlib import Path

import pytest

from models.hardware import local_node_memory_bytes

MEMINFO = "MemTotal:       32768000 kB\nMemFree:         1000000 kB\nMemAvailable:   {available} kB\n"


def test_ray_offers_seven_tenths_of_what_is_available(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(MEMINFO.format(available=20_000_000))
    assert local_node_memory_bytes(meminfo) == 14_336_000_000


def test_a_system_that_does_not_say_is_an_error(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1 kB\n")
    with pytest.raises(OSError, match="no MemAvailable line"):
        local_node_memory_bytes(meminfo)


def test_this_machine_has_some_and_not_more_than_there_is() -> None:
    total_kib = int(Path("/proc/meminfo").read_text().splitlines()[0].split()[1])
    assert 0 < local_node_memory_bytes() < total_kib * 1024
