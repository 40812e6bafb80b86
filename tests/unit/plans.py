"""Memory plans with round numbers."""

from __future__ import annotations

from models.hardware import Device, cpu_device
from models.memory.plan import MemoryPlan
from models.memory.terms import MemoryTerm
from models.types import VersionId

CPU = cpu_device(1 << 40)
GPU = Device("t4", "cuda", 16 << 30, 15 << 30, "T4")


def make_plan(terms: dict[str, int], *, budget_bytes: int | None = None, device: Device = CPU) -> MemoryPlan:
    """A plan of m@1 with these terms, in bytes; ``weights`` are shared on a CPU."""
    shared = {"weights"} if device.kind == "cpu" else set()
    return MemoryPlan(
        id=VersionId("m", "1"),
        engine="transformers",
        device=device,
        terms=tuple(MemoryTerm(name, size, "", name in shared) for name, size in terms.items()),
        host_terms=(),
        budget_bytes=budget_bytes or sum(terms.values()),
        max_model_len=64,
        max_num_seqs=2,
        max_batch_tokens=64,
        max_batch_size=4,
        page_size=16,
        num_kv_pages=8,
    )
