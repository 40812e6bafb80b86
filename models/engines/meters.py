"""Measures the process that it runs in, on the device that its model was planned for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol

from models.engines.nvml import process_bytes
from models.memory.measured import Planned, Reading
from models.process_memory import read_process_memory, reset_peak
from models.spec import EngineName

_logger = logging.getLogger(__name__)

_BESIDE = ("context", "communication")  # what no allocator of torch hands out


class Meter(Protocol):
    def read(self) -> Reading:
        """Look once. Blocking for some milliseconds; called by one thread at a time."""


class ProcessMeter:
    """On a CPU: the weights' mappings whole, as the plan counts them, and the proportional share of the rest.

    ``process`` is the folder of the process in /proc: this one, unless it is given.
    """

    def __init__(self, weights: Path, process: Path = Path("/proc/self")) -> None:
        self._weights = weights
        self._process = process
        self._mark_bytes = read_process_memory(weights, process).peak_resident_bytes

    def read(self) -> Reading:
        seen = read_process_memory(self._weights, self._process)
        rose = seen.peak_resident_bytes > self._mark_bytes
        above = seen.peak_resident_bytes - seen.resident_bytes if rose else 0
        self._mark_bytes = reset_peak(self._process) or seen.peak_resident_bytes
        parts = {"weights": seen.mapped_bytes, "weights_share": seen.mapped_share_bytes, "other": seen.other_bytes}
        return Reading(seen.total_bytes, seen.total_bytes + max(0, above), parts, seen.mapped_files)


class TreeMeter:
    """On a CPU: all processes that this one and its children have started, together.

    The proportional shares of pages that they have in common add up to the pages.
    """

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._meters: dict[int, ProcessMeter] = {}

    def read(self) -> Reading:
        readings = [reading for pid in descendants(os.getpid()) if (reading := self._read_one(pid)) is not None]
        names = dict.fromkeys(name for reading in readings for name in reading.parts)
        return Reading(
            sum(reading.total_bytes for reading in readings),
            sum(reading.high_bytes for reading in readings),
            {name: sum(reading.parts[name] for reading in readings) for name in names},
        )

    def _read_one(self, pid: int) -> Reading | None:
        """None for a process that has ended."""
        try:
            if pid not in self._meters:
                self._meters[pid] = ProcessMeter(self._weights, Path("/proc", str(pid)))
            return self._meters[pid].read()
        except (FileNotFoundError, ProcessLookupError):
            self._meters.pop(pid, None)
            return None


class DriverMeter:
    """On GPUs: all processes that this one and its children have started, which only the driver sees.

    ``of_driver`` gives their bytes on all devices together, or None where it does not say: what is planned stands
    in then, and the log says so. ``process`` is the meter of what they take beside the GPUs.
    """

    def __init__(self, process: Meter, of_driver: Callable[[], int | None], planned: Planned) -> None:
        self._process = process
        self._of_driver = of_driver
        self._planned = planned
        if of_driver() is None:
            _logger.warning("%s is not measured on its GPUs: the driver does not tell.", planned.owner)

    def read(self) -> Reading:
        """``host`` among the parts is what is beside the GPUs."""
        seen = self._of_driver()
        total = self._planned.total_bytes if seen is None else seen
        return Reading(total, total, {"host": self._process.read().total_bytes})


def descendants(pid: int) -> Iterator[int]:
    """``pid``, and those that it and its children have started."""
    yield pid
    try:
        tasks = list(Path("/proc", str(pid), "task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from descendants(child)


def make_meter(weights: Path, engine: EngineName, planned: Planned, device: str) -> Meter:
    """For a process ``planned`` on ``device`` (``cpu``, ``cuda:0``), with its weight files below ``weights``."""
    process: Meter = TreeMeter(weights) if engine == "vllm" else ProcessMeter(weights)
    if device == "cpu":
        return process
    if engine == "vllm":
        return DriverMeter(process, lambda: process_bytes(set(descendants(os.getpid()))), planned)
    context_bytes = sum(term.bytes for term in planned.terms if term.name in _BESIDE)
    meter: Meter = import_module("models.engines.cuda_meter").cuda_meter(device, process, context_bytes)
    return meter
