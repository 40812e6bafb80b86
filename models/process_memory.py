"""What a process has in memory, as the Linux kernel counts it in /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_KIB = 1024
_SHARE = re.compile(rb"^(?:Swap)?Pss: +(\d+) kB$", re.MULTILINE)
_RESIDENT = re.compile(rb"^Rss: +(\d+) kB$", re.MULTILINE)
_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes of one process.

    ``mapped_bytes``: resident pages of the mapped weight files, each counted whole, though other processes may
    share it; ``mapped_share_bytes``: the same with a page that n processes share counted 1/n. ``other_bytes``:
    the proportional share of everything else, what was swapped out included. ``resident_bytes`` and
    ``peak_resident_bytes`` count every shared page whole. ``mapped_files`` is ``mapped_bytes`` file by file.
    """

    mapped_bytes: int
    mapped_share_bytes: int
    other_bytes: int
    resident_bytes: int
    peak_resident_bytes: int
    mapped_files: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        """What a plan speaks of: the weights whole, as if no other replica shared them, and the rest."""
        return self.mapped_bytes + self.other_bytes


def read_process_memory(weights: Path, process: Path = Path("/proc/self")) -> ProcessMemory:
    """One look at ``process``; files below ``weights`` are the weight files, named by their path from there.

    OSError without /proc. Takes some 20 ms of one core for each GiB that is resident: the kernel walks the page
    tables.
    """
    return parse_process_memory(
        (process / "smaps").read_bytes(), (process / "status").read_bytes(), weights.resolve()
    )


def reset_peak(process: Path = Path("/proc/self")) -> int | None:
    """Let ``peak_resident_bytes`` begin anew, and say where; None where the system forbids it.

    Then it is the peak of the process's whole life.
    """
    try:
        (process / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return None
    return _sum(_PEAK, (process / "status").read_bytes())


def parse_process_memory(smaps: bytes, status: bytes, weights: Path) -> ProcessMemory:
    """``smaps`` and ``status`` as proc_pid_smaps(5) and proc_pid_status(5) describe them.

    What is resident is summed up from ``smaps`` too: ``status`` is read some milliseconds later, when a block of
    100 MiB may have come or gone, which would count twice in what the peak is above it.
    """
    mappings = _mappings_below(weights).findall(smaps)
    files: dict[str, int] = {}
    for path, fields in mappings:
        name = os.fsdecode(path)
        files[name] = files.get(name, 0) + _sum(_RESIDENT, fields)
    mapped_share_bytes = sum(_sum(_SHARE, fields) for _, fields in mappings)
    return ProcessMemory(
        mapped_bytes=sum(files.values()),
        mapped_share_bytes=mapped_share_bytes,
        other_bytes=_sum(_SHARE, smaps) - mapped_share_bytes,
        resident_bytes=_sum(_RESIDENT, smaps),
        peak_resident_bytes=_sum(_PEAK, status),
        mapped_files=files,
    )


def _mappings_below(folder: Path) -> re.Pattern[bytes]:
    """Of each mapping whose file lies in ``folder`` the file's path from there, and the fields that follow it."""
    inside = re.escape(os.fsencode(folder)) + rb"/([^\n]*?)(?: \(deleted\))?"
    return re.compile(rb" " + inside + rb"\n((?:[A-Z][^\n]*\n)+)")


def _sum(field: re.Pattern[bytes], text: bytes) -> int:
    return sum(map(int, field.findall(text))) * _KIB
