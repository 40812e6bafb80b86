"""How much memory an import takes that casts a model: ``python -m benchmarks.import_memory SOURCE STORE DTYPE``.

Run by ``shared_weights``, in a process of its own, whose memory is watched from outside.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.process_tree import memory
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress
from models.spec import DType, ModelSpec

_PERIOD_S = 0.02
_READY = "ready"


@dataclass(frozen=True, slots=True)
class ImportSample:
    """Bytes in the source and in the store, of the largest tensor, and of the process before and at most (PSS)."""

    dtype: DType
    stored_bytes: int
    weight_bytes: int
    largest_tensor_bytes: int
    before_bytes: int
    peak_bytes: int
    duration_s: float


def measure_import(folder: Path, dtype: DType) -> ImportSample:
    """Write a model of 1.6 GB in float32 and import it as ``dtype``."""
    source = folder / "large"
    sizes = _write_large_llama(source)
    command = [sys.executable, "-m", "benchmarks.import_memory", str(source), str(folder / "imported"), dtype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        if process.stdout.readline().strip() != _READY:
            raise RuntimeError("the import ended before it began")
        before_bytes = peak_bytes = memory(process.pid).proportional
        started = time.perf_counter()
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _proportional(process.pid))
            time.sleep(_PERIOD_S)
        duration_s = time.perf_counter() - started
        weight_bytes = int(process.stdout.read())
    return ImportSample(dtype, sum(sizes), weight_bytes, max(sizes), before_bytes, peak_bytes, duration_s)


def _proportional(pid: int) -> int:
    """0 once it has ended."""
    try:
        return memory(pid).proportional
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return 0


def _write_large_llama(folder: Path) -> list[int]:
    """The bytes of each tensor."""
    torch.manual_seed(0)
    words = {f"w{i}": i for i in range(32_000)}
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=7,
        num_attention_heads=16,
        num_key_value_heads=4,
        max_position_embeddings=2048,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(words, "w0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)  # type: ignore[no-untyped-call]  # noqa: S106
    return [parameter.nbytes for parameter in model.parameters()]


def _import(source: str, store: str, dtype: DType) -> int:
    from models import weight_layout  # noqa: F401, PLC0415 - so that its libraries are not counted as the import's

    print(_READY, flush=True)
    sys.stdin.readline()
    spec = ModelSpec(model="large", source=f"file:{source}", dtype=dtype)
    return import_model(spec, LocalStore(Path(store)), NoProgress()).manifest.weight_bytes


if __name__ == "__main__":
    print(_import(sys.argv[1], sys.argv[2], sys.argv[3]))  # type: ignore[arg-type]
