"""What a process and all its descendants use, from Linux' /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat. ``cpu_s``: user and system time, its own and of children that it waited for."""

    pid: int
    parent: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """One process in bytes. Proportional: pages that n processes share count 1/n. Unique: its own pages only."""

    proportional: int
    unique: int
    resident: int


def tree_cpu_s(pid: int) -> float:
    """CPU-seconds of ``pid`` and its descendants, those included that have ended."""
    return sum(process.cpu_s for process in _tree(pid))


def find_in_tree(pid: int, title: str) -> int:
    """The descendant of ``pid`` whose title begins with ``title``; LookupError unless there is exactly one."""
    found = all_in_tree(pid, title)
    if len(found) != 1:
        raise LookupError(f"{len(found)} processes are called {title!r}, not one")
    return found[0]


def all_in_tree(pid: int, title: str) -> list[int]:
    """The descendants of ``pid`` whose title begins with ``title``."""
    return [process.pid for process in _tree(pid) if _title(process.pid).startswith(title)]


def memory(pid: int) -> Memory:
    """What ``pid`` has in memory now, as the kernel counts it."""
    return parse_smaps_rollup((_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii"))


def parse_smaps_rollup(text: str) -> Memory:
    """The sums of a smaps_rollup file; KeyError when one is missing."""
    lines = (line.split() for line in text.splitlines()[1:])
    kib = {words[0]: int(words[1]) for words in lines}
    return Memory(
        proportional=kib["Pss:"] * _KIB,
        unique=(kib["Private_Clean:"] + kib["Private_Dirty:"]) * _KIB,
        resident=kib["Rss:"] * _KIB,
    )


def parse_stat(text: str) -> Process:
    """One stat file. The name stands in parentheses and may hold anything, parentheses included."""
    pid = int(text.split(maxsplit=1)[0])
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime: fields 14 to 17 of stat(5)
    return Process(pid, int(fields[1]), ticks / _TICKS_PER_S)


def _tree(root: int) -> Iterator[Process]:
    children: dict[int, list[Process]] = {}
    for process in _all_processes():
        children.setdefault(process.parent, []).append(process)
        if process.pid == root:
            yield process
    pending = [root]
    while pending:
        found = children.get(pending.pop(), [])
        pending += [process.pid for process in found]
        yield from found


def _all_processes() -> Iterator[Process]:
    for folder in _PROC.glob("[0-9]*"):
        try:
            yield parse_stat((folder / "stat").read_text(encoding="utf-8", errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since it was listed; its parent has its time


def _title(pid: int) -> str:
    return (_PROC / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace").replace("\0", " ")
