from __future__ import annotations

from benchmarks.parallel_gpu import BARE, ENGINE, TENSOR, Sample, tables


def test_each_side_is_divided_by_the_bare_loop() -> None:
    speeds = {BARE: (100, 50), ENGINE: (98, 48), TENSOR: (40, 20)}
    samples = [Sample(number, side, both[number]) for side, both in speeds.items() for number in range(2)]
    divided, medians = tables(samples)
    assert divided.rows == ((ENGINE, "0.97 (0.96-0.98)"), (TENSOR, "0.40 (0.40-0.40)"))
    assert medians.rows[0] == (BARE, "75")
