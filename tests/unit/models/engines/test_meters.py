from __future__ import annotations

import mmap
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.engines.meters import DriverMeter, ProcessMeter, TreeMeter, make_meter
from tests.unit.plans import make_plan

MIB = 1024**2


def test_every_peak_between_two_looks_is_seen(tmp_path: Path) -> None:
    meter = ProcessMeter(tmp_path)
    meter.read()
    quiet = meter.read()
    assert quiet.high_bytes - quiet.total_bytes < 16 * MIB
    for num_bytes in (256 * MIB, 128 * MIB):  # the second is below the mark that the first has left
        short = np.ones(num_bytes, dtype=np.uint8)
        del short
        seen = meter.read()
        assert seen.high_bytes - seen.total_bytes == pytest.approx(num_bytes, abs=16 * MIB)


def test_a_block_that_comes_and_goes_while_it_looks_is_not_counted_twice(tmp_path: Path) -> None:
    done = threading.Event()

    def come_and_go() -> None:
        while not done.wait(0.001):
            np.ones(64 * MIB, dtype=np.uint8)

    meter = ProcessMeter(tmp_path)
    quiet_bytes = meter.read().total_bytes
    with ThreadPoolExecutor(1) as pool:
        pool.submit(come_and_go)
        try:
            highs = [meter.read().high_bytes for _ in range(40) if not done.wait(0.02)]
        finally:
            done.set()
    assert 48 * MIB < max(highs) - quiet_bytes < 80 * MIB


def test_the_processes_that_this_one_has_started_count_with_it(tmp_path: Path) -> None:
    """A child that holds 64 MiB and has a child of its own that holds as much."""
    hold = "import os; held = bytearray(b'x') * (64 << 20); os.write(1, b'ready\\n'); input()"
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}"
    meter = TreeMeter(tmp_path)
    alone_bytes = meter.read().total_bytes
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == [b"ready\n", b"ready\n"]
        added_bytes = meter.read().total_bytes - alone_bytes
        child.communicate(b"\n\n")
    assert 128 * MIB < added_bytes < 180 * MIB
    assert meter.read().total_bytes < alone_bytes + 32 * MIB


def test_of_children_on_gpus_the_driver_tells_and_otherwise_the_plan_stands_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planned = make_plan({"weights": 7}, budget_bytes=9).planned
    seen: list[int | None] = [5 * MIB, 6 * MIB]
    meter = DriverMeter(TreeMeter(tmp_path), lambda: seen.pop(0), planned)
    reading = meter.read()
    assert (reading.total_bytes, reading.high_bytes) == (6 * MIB, 6 * MIB)
    assert reading.parts["host"] > MIB
    assert not caplog.records
    assert DriverMeter(TreeMeter(tmp_path), lambda: None, planned).read().total_bytes == 7
    assert "the driver does not tell" in caplog.text


def test_where_the_mark_cannot_be_reset_only_a_higher_peak_counts(tmp_path: Path) -> None:
    process = tmp_path / "proc"
    process.mkdir()
    (process / "clear_refs").mkdir()  # not to be written

    def at(now_kib: int, peak_kib: int) -> None:
        (process / "smaps").write_text(f"7f0000000000-7f0000100000 rw-p 00000000 00:00 0\nRss: {now_kib} kB\n")
        (process / "status").write_text(f"VmHWM:\t{peak_kib} kB\n")

    at(80, 100)
    meter = ProcessMeter(tmp_path, process)
    assert meter.read().high_bytes == 0  # the mark is of before
    at(80, 130)
    assert meter.read().high_bytes == 50 * 1024
    at(70, 130)
    assert meter.read().high_bytes == 0


def test_mapped_weights_count_whole(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(4 * MIB))
    meter = make_meter(tmp_path, "transformers", make_plan({}, budget_bytes=1).planned, "cpu")
    with (
        (tmp_path / "model.safetensors").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert sum(mapped[:: mmap.PAGESIZE]) == 0
        seen = meter.read()
    assert seen.parts["weights"] == 4 * MIB
    assert seen.files == {"model.safetensors": 4 * MIB}
    assert seen.total_bytes == seen.parts["weights"] + seen.parts["other"]
    assert seen.parts["other"] == pytest.approx(meter.read().total_bytes, abs=2 * MIB)
