from __future__ import annotations

from models.engines.cuda_meter import CudaMeter, TorchAllocator
from models.engines.nvml import process_bytes
from models.memory.measured import Reading


class FakeAllocator(TorchAllocator):
    """Counts that a test sets; there is no GPU here."""

    def __init__(self) -> None:
        self.counts = [10, 20, 20]

    def allocated(self) -> int:
        return self.counts[0]

    def reserved(self) -> int:
        return self.counts[1]

    def take_peak(self) -> int:
        return self.counts[2]


class FakeProcess:
    def read(self) -> Reading:
        return Reading(7, 7)


def test_the_driver_s_count_is_the_total_and_holds_the_context() -> None:
    allocator = FakeAllocator()
    meter = CudaMeter(allocator, FakeProcess(), lambda: 120, context_bytes=50)
    assert meter.read() == Reading(120, 120, {"allocated": 10, "reserved": 20, "host": 7, "context": 100})
    allocator.counts = [10, 25, 45]
    assert meter.read().high_bytes == 120 + 20


def test_without_the_driver_the_planned_context_stands_in() -> None:
    meter = CudaMeter(FakeAllocator(), FakeProcess(), lambda: None, context_bytes=50)
    assert meter.read() == Reading(70, 70, {"allocated": 10, "reserved": 20, "host": 7})


def test_without_the_driver_s_library_nothing_is_known_of_the_device() -> None:
    assert process_bytes([1], "GPU-0") is None
    assert process_bytes([1]) is None
