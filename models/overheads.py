"""What a replica's process and its device context weigh before there is a model: measured, not computed."""

from __future__ import annotations

from pydantic import Field

from models.hardware import DeviceKind
from models.manifest import Frozen
from models.spec import EngineName

MIB = 1024**2


class Overhead(Frozen):
    """Of one engine on one kind of device, in bytes.

    ``host_bytes``: the process (proportional set size). ``device_bytes``: CUDA context, library workspaces and
    loaded kernels on the device (0 on a CPU). ``source`` says how it was measured.
    """

    engine: EngineName
    kind: DeviceKind
    host_bytes: int = Field(ge=0)
    device_bytes: int = Field(default=0, ge=0)
    source: str


class Overheads(Frozen):
    """A table of overheads; ``stowage calibrate`` writes one as JSON."""

    entries: tuple[Overhead, ...]

    def of(self, engine: EngineName, kind: DeviceKind) -> Overhead:
        """KeyError when there is none for the pair."""
        for entry in self.entries:
            if (entry.engine, entry.kind) == (engine, kind):
                return entry
        raise KeyError((engine, kind))
