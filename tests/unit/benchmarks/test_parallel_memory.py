from __future__ import annotations

from benchmarks.parallel_memory import WHOLE, RankSample, ranks_table, sums_table
from models.memory.measured import Compared

MIB = 1024**2


def rank(label: str, number: int, weights: int, peak: int, share: int) -> RankSample:
    return RankSample(
        model="SmolLM2",
        label=label,
        rank=number,
        holds="layers 0-14",
        terms={"weights": weights * MIB, "kv_cache": 100 * MIB, "runtime": 300 * MIB},
        peak_bytes=peak * MIB,
        share_bytes=share * MIB,
        compared=(Compared("weights", 390 * MIB, 380 * MIB), Compared("work", 10 * MIB, 12 * MIB)),
    )


SAMPLES = [
    rank(WHOLE, 0, 400, 760, 800),
    rank("pipeline 2", 0, 250, 663, 500),
    rank("pipeline 2", 1, 200, 600, 500),
]


def test_each_process_stands_beside_its_plan() -> None:
    whole, first, second = ranks_table(SAMPLES).rows
    assert whole[1:4] == ("800", "760", "0.950")
    assert first == (
        "SmolLM2, pipeline 2, rank 0: layers 0-14", "650", "663", "1.020", "390", "380", "10", "12",
    )  # fmt: skip
    assert second[3] == "1.000"


def test_what_all_ranks_take_stands_beside_one_process() -> None:
    whole, pipeline = sums_table(SAMPLES).rows
    assert whole[1:] == ("500", "1.000", "800", "1.000")
    assert pipeline[1:] == ("650", "1.300", "1000", "1.250")
