"""What this process has on its GPU, by torch's allocator and by the driver."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from models.engines.meters import Meter
from models.engines.nvml import process_bytes
from models.memory.measured import Reading


class TorchAllocator:
    """torch.cuda's own counts for one device, in bytes."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    @property
    def uuid(self) -> str:
        """As the driver writes it."""
        return f"GPU-{torch.cuda.get_device_properties(self._device).uuid}"

    def allocated(self) -> int:
        return torch.cuda.memory_allocated(self._device)

    def reserved(self) -> int:
        return torch.cuda.memory_reserved(self._device)

    def take_peak(self) -> int:
        """The most that was reserved since this was last called."""
        peak = torch.cuda.max_memory_reserved(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return peak


class CudaMeter:
    """``of_driver`` gives the bytes of this process on the device, or None where the driver does not say.

    The context (with kernels and what libraries allocate past torch) is what the driver sees beyond what torch
    reserved; where it does not say, the planned ``context_bytes`` stand in, and no context is reported.
    """

    def __init__(
        self, allocator: TorchAllocator, process: Meter, of_driver: Callable[[], int | None], context_bytes: int
    ) -> None:
        self._allocator = allocator
        self._process = process
        self._of_driver = of_driver
        self._context_bytes = context_bytes

    def read(self) -> Reading:
        """``host`` among the parts is the process beside the GPU."""
        reserved, driver = self._allocator.reserved(), self._of_driver()
        total = self._context_bytes + reserved if driver is None else driver
        above = self._allocator.take_peak() - reserved
        parts = {
            "allocated": self._allocator.allocated(),
            "reserved": reserved,
            "host": self._process.read().total_bytes,
        }
        if driver is not None:
            parts["context"] = driver - reserved
        return Reading(total, total + max(0, above), parts)


def cuda_meter(device: str, process: Meter, context_bytes: int) -> CudaMeter:
    """For this process on ``device``."""
    allocator = TorchAllocator(device)
    uuid = allocator.uuid
    return CudaMeter(allocator, process, lambda: process_bytes([os.getpid()], uuid), context_bytes)
