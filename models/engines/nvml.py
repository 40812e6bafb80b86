"""NVIDIA's management library, where its Python package is installed. The only file that imports pynvml."""

from __future__ import annotations

from importlib.util import find_spec


def process_bytes(device_uuid: str, pid: int) -> int | None:
    """Bytes of process ``pid`` on the GPU; None where they cannot be known.

    That is without the package nvidia-ml-py, on drivers that do not tell, and in a container that has process
    ids of its own, for the driver knows only the host's.
    """
    if find_spec("pynvml") is None:
        return None
    import pynvml  # noqa: PLC0415  optional

    try:
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(device_uuid)
            found = [each for each in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if each.pid == pid]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return found[0].usedGpuMemory if found else None
