"""How long one process takes to have a stored model's weights: ``python -m benchmarks.attach STORE NAME@VERSION``.

Run by ``shared_weights``, in a process of its own for each sample. Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from models.store import open_store
from models.types import VersionId


@dataclass(frozen=True, slots=True)
class AttachSample:
    """Seconds: to import torch and transformers; to map the files and have every tensor; for the engine's whole
    load, in which that is contained; to read every weight once, from pages that are in memory already."""

    import_s: float
    map_s: float
    load_s: float
    touch_s: float


def measure_attach(store: str, version: VersionId, count: int) -> list[AttachSample]:
    """``count`` processes, one after the other; the first, which may have to read the disk, is not among them."""
    command = [sys.executable, "-m", "benchmarks.attach", store, str(version)]
    texts = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(count + 1)]
    return [AttachSample(**json.loads(text)) for text in texts[1:]]


def _measure(store: str, version: VersionId) -> AttachSample:
    stored = open_store(store).get(version)
    import_s = _timed(_import_libraries)
    map_s = _timed(lambda: _map(stored.folder))
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - its import is what was timed

    from models.engines.pretrained import load_pretrained  # noqa: PLC0415

    loaded = []
    load_s = _timed(
        lambda: loaded.append(load_pretrained(AutoModelForCausalLM, stored.folder, stored.manifest, "cpu"))
    )
    touch_s = _timed(lambda: [parameter.view(-1)[::1024].sum() for parameter in loaded[0].parameters()])
    return AttachSample(import_s, map_s, load_s, touch_s)


def _import_libraries() -> None:
    import torch  # noqa: F401, PLC0415
    import transformers.models.auto.modeling_auto  # noqa: PLC0415
    import transformers.models.llama.modeling_llama  # noqa: F401, PLC0415


def _map(folder: Path) -> None:
    from safetensors import safe_open  # noqa: PLC0415

    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_tensor(name)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(sys.argv[1], VersionId.parse(sys.argv[2])))))
