"""How the C library keeps freed memory for the next block, and gives it back to the system: glibc's malloc."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from types import MappingProxyType

# For the environment that a process starts with: all threads share one heap. Each thread's own would be made of
# pieces of 64 MiB (malloc/arena.c), into which the blocks of a generation step fit badly: of 8 sequences of 2,048
# tokens it took 180 to 530 MiB from run to run, and one heap 110 to 130 MiB.
ONE_HEAP: Mapping[str, str] = MappingProxyType({"MALLOC_ARENA_MAX": "1"})

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4
_THRESHOLD_BYTES = 1024**2
_NEVER = -1


def return_freed_blocks() -> None:
    """Give blocks of 1 MiB and more back as soon as they are freed; without effect where there is no glibc.

    By default glibc raises that threshold to the largest block that was ever freed, up to 32 MiB, and keeps the
    blocks below it in its heap: the peak of an encoder's batch was 1.4 to 1.8 times what its tensors take, and
    part of it stayed. For engines that run whole batches the system calls cost nothing that can be measured.
    """
    _set(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)


def keep_freed_blocks() -> None:
    """Serve blocks of any size from the heap, and leave it as large as it was; without effect outside of glibc.

    A generation step makes hundreds of large blocks, the same again in the next step. To give them back took 1.6
    times the processor time where contexts are long: each page is faulted in again. ``return_kept_blocks`` is for
    when there is no next step.
    """
    _set(_M_MMAP_MAX, 0)
    _set(_M_TRIM_THRESHOLD, _NEVER)


def return_kept_blocks() -> None:
    """Give all free pages of the heap back now. Takes some milliseconds for each 100 MiB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _set(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)
