from __future__ import annotations

from dataclasses import dataclass

from benchmarks.tables import Metrics, Pair, Table, medians, ratios


@dataclass(frozen=True)
class Lap:
    speed: float
    cost: float


METRICS: Metrics[Lap] = {"speed": lambda lap: lap.speed, "cost": lambda lap: lap.cost}
OURS = [Lap(2, 30), Lap(4, 10), Lap(6, 20)]
THEIRS = [Lap(1, 30), Lap(4, 20), Lap(2, 10)]


def test_ratios_are_taken_within_rounds() -> None:
    table = ratios("ours / theirs", [Pair("race", OURS, THEIRS)], METRICS)
    assert table.rows == (("race", "2.00 (1.00-3.00)", "1.00 (0.50-2.00)"),)


def test_medians_have_one_row_for_each_series() -> None:
    table = medians("medians", {"ours": OURS, "theirs": THEIRS}, METRICS)
    assert table.rows == (("ours", "4", "20"), ("theirs", "2", "20"))


def test_a_table_is_markdown_with_numbers_to_the_right() -> None:
    table = Table("Laps", ("", "speed"), (("ours", "4"),))
    assert str(table) == "Laps:\n\n|  | speed |\n| --- | ---: |\n| ours | 4 |"
