"""Keeps a replica within its share of a GPU. The share is PyTorch's to enforce: CUDA itself has no quota."""

from __future__ import annotations

import torch

from models.engines.base import EngineSettings
from models.errors import ConfigError


def limit_cuda_memory(settings: EngineSettings) -> None:
    """Let PyTorch's allocator take ``device_cap_bytes`` of the device; no effect on a CPU or without a cap.

    Beyond it an allocation fails with ``torch.OutOfMemoryError``, in this process alone. To be called before
    anything lies on the device. ConfigError when the device is smaller than the cap.
    """
    device = torch.device(settings.device)
    if device.type == "cpu" or settings.device_cap_bytes is None:
        return
    total_bytes: int = torch.cuda.get_device_properties(device).total_memory
    if settings.device_cap_bytes > total_bytes:
        raise ConfigError(
            f"the plan lets the engine take {settings.device_cap_bytes} bytes of {settings.device}, "
            f"which has {total_bytes}",
            remedy="plan for the device that the node really has: set its label stowage.io/device",
        )
    torch.cuda.set_per_process_memory_fraction(settings.device_cap_bytes / total_bytes, device)
