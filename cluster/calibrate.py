"""``stowage calibrate``: what replicas weigh on this machine before they have a model, for the planner."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cluster.child import StopSignals
from cluster.live.replica_metrics import ReplicaMemory
from cluster.lone_replica import LoneReplica
from cluster.terminal.render import print_table
from cluster.tiny_models import TinyModel, write_tiny_models
from deployments.planning import CUDA_ENGINES
from models.errors import StowageError
from models.memory.calibration import CALIBRATION_FILE, calibration_path, read_calibration, write_calibration
from models.memory.overheads import MEASURED, Overhead, Overheads
from models.memory.plan import format_bytes
from models.store import DEFAULT_STORE

_PACKAGES = ("ray", "torch", "transformers", "onnxruntime")


def calibrate(
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Where to write. Default: {CALIBRATION_FILE} in the root of the store."
        ),
    ] = None,
    store: Annotated[str, typer.Option(help="The model store whose models are planned with it.")] = DEFAULT_STORE,
) -> None:
    """Measure the overheads of this machine: what a replica of each engine weighs without a model.

    Starts a cluster of its own for each engine, on the CPU and where there is one on the GPU, about a minute for
    each, and writes what was found to a file that the planner reads. Entries of the file for other engines and
    devices stay. Run it on a machine like the cluster's nodes that does nothing else.
    """
    path = output or calibration_path(store)
    kept = read_calibration(path)
    with tempfile.TemporaryDirectory() as name, StopSignals() as signals:
        replica = LoneReplica(Path(name), signals)
        models = write_tiny_models(Path(name))
        measured = Overheads(entries=tuple(_measure(replica, *each) for each in runs(models, gpu=has_gpu())))
    write_calibration(path, kept.updated(measured))
    _show(measured.entries)
    typer.echo(f"Written to {path}.")


def runs(models: Sequence[TinyModel], *, gpu: bool) -> list[tuple[TinyModel, str]]:
    """Which models are measured on which devices."""
    on_gpu = [(model, "gpu") for model in models if gpu and model.engine in CUDA_ENGINES]
    return [*((model, "cpu") for model in models), *on_gpu]


def _measure(replica: LoneReplica, model: TinyModel, device: str) -> Overhead:
    typer.echo(f"measuring {model.engine} on the {device} ...", err=True)
    return overhead(model, device, replica.measure(model, device), _source())


def overhead(model: TinyModel, device: str, found: ReplicaMemory, source: str) -> Overhead:
    """The entry for a replica whose model weighs next to nothing. StowageError when the driver did not tell."""
    if device == "cpu":
        return Overhead(engine=model.engine, kind="cpu", host_bytes=found.measured["total"], source=source)
    if "context" not in found.measured:
        raise StowageError(
            f"the driver does not say what a process of the {model.engine} engine has on the GPU",
            remedy="install nvidia-ml-py; in a container, share the process ids of the host",
        )
    return Overhead(
        engine=model.engine,
        kind="cuda",
        host_bytes=found.measured["host"],
        device_bytes=found.measured["context"],
        source=source,
    )


def _source() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    machine = (
        f"{platform.node()}, {os.cpu_count()} x {platform.machine()}, {platform.system()} {platform.release()}"
    )
    return f"stowage calibrate on {machine}, {versions}, {datetime.now(tz=UTC).date()}"


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether the NVIDIA driver shows a GPU."""
    return any(devices.glob("nvidia[0-9]*"))


def _show(entries: Sequence[Overhead]) -> None:
    known = {(entry.engine, entry.kind): entry for entry in MEASURED.entries}
    columns = ("engine", "device", "process", "on the GPU", "process as shipped", "on the GPU as shipped")
    rows = [_row(entry, known.get((entry.engine, entry.kind))) for entry in entries]
    print_table(columns, rows, right=columns[2:])


def _row(entry: Overhead, shipped: Overhead | None) -> tuple[str, ...]:
    sizes = (entry.host_bytes, entry.device_bytes)
    before = (shipped.host_bytes, shipped.device_bytes) if shipped else (0, 0)
    return (entry.engine, entry.kind, *map(format_bytes, (*sizes, *before)))
