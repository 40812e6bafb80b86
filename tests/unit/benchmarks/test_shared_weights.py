from __future__ import annotations

from benchmarks.import_memory import ImportSample
from benchmarks.shared_weights import ReplicasSample, import_table, replicas_table
from models.memory.overheads import MIB
from models.process_memory import ProcessMemory


def replica(mapped: int, share: int, other: int) -> ProcessMemory:
    return ProcessMemory(mapped * MIB, share * MIB, other * MIB, (mapped + other) * MIB, (mapped + other) * MIB)


def test_the_two_ratios_of_the_claim() -> None:
    full = ReplicasSample("m@1", 500 * MIB, tuple(replica(500, 130, 310) for _ in range(4)))
    empty = ReplicasSample("empty@1", MIB, tuple(replica(0, 0, 300) for _ in range(4)))
    rows = {row[0]: row[1:] for row in replicas_table(full, empty).rows}
    assert rows["one copy of the weights"] == ("500", "")
    assert rows["weights of 4 replicas, PSS"] == ("520", "1.040 (of the weights alone)")
    assert rows["4 replicas, PSS"] == ("1760", f"{1760 / 1700:.3f}")
    assert rows["4 replicas if nothing were shared"] == ("3200", "")


def test_an_import_is_charged_with_what_it_adds_to_its_process() -> None:
    sample = ImportSample("bfloat16", 1600 * MIB, 800 * MIB, 250 * MIB, 300 * MIB, 450 * MIB, 12.0)
    table = import_table(sample)
    assert table.rows[-1] == ("difference", "150")
    assert "12 s" in str(table)
