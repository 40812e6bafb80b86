from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.planned_vs_measured import CASES, PeakWatch, PlanSample, terms_table, totals_table, write_config
from cluster.config.serve_config import load_config
from models.memory.measured import Compared, Reading

MIB = 1024**2
SAMPLE = PlanSample(
    round=0,
    label="a",
    terms={"weights": 100 * MIB},
    planned_bytes=400 * MIB,
    peak_bytes=390 * MIB,
    weights_bytes=99 * MIB,
    compared=(Compared("weights + runtime", 300 * MIB, 290 * MIB), Compared("logits", 100 * MIB, 100 * MIB)),
)


class Readings:
    """Goes up to 5 and down again, then stays."""

    def __init__(self) -> None:
        self._highs: Iterator[int] = iter([1, 5, 2])

    def read(self) -> Reading:
        high = next(self._highs, 2)
        return Reading(high - 1, high)


def test_every_case_is_a_valid_configuration_of_its_own(tmp_path: Path) -> None:
    written = [write_config(case, tmp_path) for case in CASES]
    assert len({path for path, _ in written}) == len(CASES)
    for path, args in written:
        assert load_config(path).model_args == (args,)
    versions = {args.dtype: args.version for _, args in written if args.model == "smollm2-135m"}
    assert versions == {None: "1", "bfloat16": "bfloat16"}


def test_the_highest_reading_is_kept() -> None:
    with PeakWatch(Readings()) as watch:
        pass
    assert watch.peak == Reading(4, 5)


def test_every_run_is_shown_and_the_median_of_its_terms() -> None:
    runs = [
        SAMPLE,
        *(replace(SAMPLE, round=number, peak_bytes=high * MIB) for number, high in ((1, 404), (2, 388))),
    ]
    runs[1] = replace(runs[1], compared=(Compared("", 300 * MIB, 296 * MIB), Compared("", 100 * MIB, 94 * MIB)))
    assert totals_table(runs).rows == (("a", "400", "390, 404, 388", "0.975, 1.010, 0.970"),)
    assert terms_table(runs[:2]).rows == (("a", "100", "99", "300", "293", "100", "97"),)
    other = replace(SAMPLE, label="b")
    assert [row[0] for row in totals_table([SAMPLE, other, SAMPLE]).rows] == ["a", "b"]
