"""NVIDIA's management library, where its Python package is installed. The only file that imports pynvml."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec


def process_bytes(pids: Collection[int], device_uuid: str | None = None) -> int | None:
    """Bytes of the processes together on the GPU, or on all of the node; None where they cannot be known.

    That is without the package nvidia-ml-py, on drivers that do not tell, and in a container that has process
    ids of its own, for the driver knows only the host's.
    """
    if find_spec("pynvml") is None:
        return None
    import pynvml  # noqa: PLC0415  optional

    try:
        pynvml.nvmlInit()
        try:
            handles = (
                [pynvml.nvmlDeviceGetHandleByUUID(device_uuid)]
                if device_uuid
                else [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            )
            running = [each for handle in handles for each in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    found = [each.usedGpuMemory for each in running if each.pid in pids]
    return sum(found) if found and None not in found else None
