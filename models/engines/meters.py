"""Measures the process that it runs in, on the device that its model was planned for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from models.memory.measured import Reading
from models.memory.plan import MemoryPlan
from models.process_memory import read_process_memory, reset_peak

_CONTEXT = "context"  # the term of a plan on a GPU


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


def make_meter(weights: Path, plan: MemoryPlan, device: str) -> Meter:
    """For a replica of ``plan`` on ``device`` (``cpu``, ``cuda:0``) whose weight files lie below ``weights``."""
    process = ProcessMeter(weights)
    if device == "cpu":
        return process
    context_bytes = sum(term.bytes for term in plan.terms if term.name == _CONTEXT)
    meter: Meter = import_module("models.engines.cuda_meter").cuda_meter(device, process, context_bytes)
    return meter
