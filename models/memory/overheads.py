"""What a replica's process and its device context weigh before there is a model: measured, not computed."""

from __future__ import annotations

from pydantic import Field, ValidationError

from models.errors import ConfigError
from models.hardware import DeviceKind
from models.manifest import Frozen
from models.spec import EngineName

MIB = 1024**2


class Overhead(Frozen):
    """Of one engine on one kind of device, in bytes.

    ``host_bytes``: the process (proportional set size). ``device_bytes``: CUDA context, library workspaces and
    loaded kernels on the device (0 on a CPU). ``follower_bytes``: as ``host_bytes``, of a rank that does not lead,
    where that is another (None). ``source`` says how it was measured.
    """

    engine: EngineName
    kind: DeviceKind
    host_bytes: int = Field(ge=0)
    device_bytes: int = Field(default=0, ge=0)
    follower_bytes: int | None = Field(default=None, ge=0)
    source: str


class Overheads(Frozen):
    """A table of overheads; ``stowage calibrate`` writes one as JSON."""

    entries: tuple[Overhead, ...]

    def of(self, engine: EngineName, kind: DeviceKind) -> Overhead:
        """ConfigError when there is none for the pair: such a replica cannot be planned."""
        for entry in self.entries:
            if (entry.engine, entry.kind) == (engine, kind):
                return entry
        known = ", ".join(f"{entry.engine} on {entry.kind}" for entry in self.entries)
        raise ConfigError(
            f"what the {engine} engine needs on a {kind} device was never measured",
            remedy=f"known are {known}; measure it with stowage calibrate, or choose another device",
        )

    def updated(self, measured: Overheads) -> Overheads:
        """This table with the entries of ``measured`` in the place of its own for the same pairs."""
        pairs = {(entry.engine, entry.kind) for entry in measured.entries}
        kept = (entry for entry in self.entries if (entry.engine, entry.kind) not in pairs)
        return Overheads(entries=(*measured.entries, *kept))


def parse_overheads(content: bytes, origin: str) -> Overheads:
    """What ``stowage calibrate`` wrote. ConfigError for other content."""
    try:
        return Overheads.model_validate_json(content)
    except ValidationError as error:
        raise ConfigError(
            f"{origin} is no table of overheads: {error}", remedy="remove it, or write it with stowage calibrate"
        ) from error


_REPLICA = "stowage calibrate, Linux x86-64: a model of a few hundred parameters, no other process with torch"

# 28 MiB more than with a model of a few hundred parameters.
_ENCODER = "benchmarks/planned_vs_measured.py: MiniLM after its first requests, without its weights and tokenizer"

_GRAPH = f"{_REPLICA}; several runs had 118 to 130 MiB"

_VLLM = "stowage status and TreeMeter: SmolLM2 after full batches, all processes, without its weights and pages"

# A context on the device weighs 400 MB and more since kernels are loaded when they are first used (PyTorch issue
# 109888), 426 MiB with torch 2.10 and CUDA 13 (unsloth-zoo pull request 1053); cuBLASLt takes 32 MiB of workspace
# on Hopper (PyTorch pull request 120925); the rest is room for the kernels of the model.
_NOT_MEASURED = (
    "not measured here; device: PyTorch issue 109888, PyTorch #120925, unsloth-zoo #1053; host: estimated"
)

MEASURED = Overheads(
    entries=(
        Overhead(engine="transformers", kind="cpu", host_bytes=406 * MIB, source=_REPLICA),
        Overhead(engine="vllm", kind="cpu", host_bytes=2232 * MIB, follower_bytes=500 * MIB, source=_VLLM),
        Overhead(engine="embedding", kind="cpu", host_bytes=432 * MIB, source=_ENCODER),
        Overhead(engine="onnx", kind="cpu", host_bytes=124 * MIB, source=_GRAPH),
        Overhead(
            engine="transformers",
            kind="cuda",
            host_bytes=1536 * MIB,
            device_bytes=512 * MIB,
            source=_NOT_MEASURED,
        ),
        Overhead(engine="vllm", kind="cuda", host_bytes=4096 * MIB, device_bytes=1024 * MIB, source=_NOT_MEASURED),
        Overhead(
            engine="embedding", kind="cuda", host_bytes=1536 * MIB, device_bytes=512 * MIB, source=_NOT_MEASURED
        ),
    )
)
