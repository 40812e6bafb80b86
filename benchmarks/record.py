"""What a run found, with all that is needed to judge it and to repeat it."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.tables import Table
from models.errors import StowageError
from models.memory.plan import format_bytes

RESULTS = Path(__file__).parent / "results"

_PACKAGES = ("ray", "torch", "transformers", "onnxruntime", "starlette", "numpy")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran. ``load_average``: of the minute before the run, which a calm machine has near 0."""

    processor: str
    num_cores: int
    memory_bytes: int
    system: str
    load_average: float


@dataclass(frozen=True)
class Record:
    """One run. ``samples`` are all the measurements that the tables were made from, as dataclasses."""

    name: str
    claim: str
    method: Sequence[str]
    tables: Sequence[Table]
    samples: Sequence[object]
    machine: Machine
    command: str = field(default_factory=lambda: _command(sys.orig_argv))
    date: date = field(default_factory=lambda: datetime.now(tz=UTC).date())
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _PACKAGES})


def this_machine() -> Machine:
    """Ask before the run: afterwards the load average is the run's own."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return Machine(
        processor=model[1] if model else platform.machine(),
        num_cores=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        load_average=round(os.getloadavg()[0], 2),
    )


def keep(run: Callable[[], Record], folder: Path = RESULTS) -> None:
    """Run a benchmark, save its record and say where. A StowageError ends the process with its message alone."""
    try:
        print(save(run(), folder))
    except StowageError as error:
        sys.exit(f"error: {error}")


def save(record: Record, folder: Path) -> Path:
    """Write the record as Markdown and as JSON, beside earlier ones; the path of the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _unused(folder, f"{record.date.isoformat()}-{record.name}")
    facts = {
        "name": record.name,
        "date": record.date.isoformat(),
        "command": record.command,
        "machine": asdict(record.machine),
        "versions": record.versions,
        "samples": [asdict(sample) for sample in record.samples],  # type: ignore[call-overload]
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    path.write_text(render(record), encoding="utf-8")
    return path


def render(record: Record) -> str:
    """The record for people."""
    machine = record.machine
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    hardware = f"{machine.num_cores} x {machine.processor}, {format_bytes(machine.memory_bytes)}"
    facts = [
        f"Date: {record.date.isoformat()}",
        f"Command: `{record.command}`",
        f"Machine: {hardware}; {machine.system}; load average before the run {machine.load_average}",
        f"Versions: {versions}",
        *record.method,
    ]
    parts = [
        f"# {record.name}",
        record.claim,
        "\n".join(f"- {fact}" for fact in facts),
        *(str(table) for table in record.tables),
    ]
    return "\n\n".join(parts) + "\n"


def _unused(folder: Path, stem: str) -> Path:
    """Earlier results are kept, of the same day as well."""
    path, number = folder / f"{stem}.md", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.md"
    return path


def _command(argv: Sequence[str]) -> str:
    """What was typed, without the path of the interpreter."""
    return " ".join(["python", *argv[1:]])
