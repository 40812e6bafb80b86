"""How the C library gives freed memory back to the system."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
_THRESHOLD_BYTES = 1024**2


def return_freed_blocks() -> None:
    """Give blocks of 1 MiB and more back as soon as they are freed; without effect where there is no glibc.

    By default glibc raises that threshold to the largest block that was ever freed, up to 32 MiB, and keeps the
    blocks below it in its heap: the peak of an encoder's batch was 1.4 to 1.8 times what its tensors take, and
    part of it stayed. For engines that run whole batches the system calls cost nothing that can be measured; a
    generation step makes many blocks and took 1.4 times the processor time, so that engine leaves the default.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
