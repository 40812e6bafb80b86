from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest

from benchmarks.parallel_models import SMOLLM2, on_cpu
from benchmarks.parallel_orders import Spent
from benchmarks.parallel_throughput import CLIENTS, SIDES, WHOLE, Sample, same, shares, tables
from models.parallel.layout import Degree


def sample(side: str, speed: float, clients: int, spent: tuple[Mapping[str, float], ...] = ()) -> Sample:
    return Sample(
        round=0,
        model="SmolLM2",
        side=side,
        clients=clients,
        num_tokens=512,
        tokens_per_s=speed,
        first_token_s=0.5,
        cpu_ms_per_token=20,
        digests=("a", side if clients == 1 else "b"),
        spent=spent,
    )


def samples() -> list[Sample]:
    sides = ((WHOLE, 10, ()), ("pipeline 2", 9, ({"computes layers": 0.8}, {"waits for a step": 0.5})))
    return [sample(side, speed, clients, spent) for clients, (side, speed, spent) in product(CLIENTS, sides)]


def test_groups_are_divided_by_the_one_process() -> None:
    divided, medians, spent = tables(samples())
    labels = [f"SmolLM2, pipeline 2, {clients} clients" for clients in CLIENTS]
    assert [row[:2] for row in divided.rows] == [(label, "0.90 (0.90-0.90)") for label in labels]
    assert [row[1] for row in medians.rows] == ["10", "9"] * len(CLIENTS)
    assert spent.rows == (
        ("SmolLM2, pipeline 2, rank 0", "80%", "0%"),
        ("SmolLM2, pipeline 2, rank 1", "0%", "50%"),
    )


def test_answers_that_differ_are_counted() -> None:
    assert list(same(samples())) == ["Answers: SmolLM2 pipeline 2: 3 of 4 are those of one process"]


def test_time_in_collectives_is_split_into_waiting_and_moving() -> None:
    stage = [Spent({"computes layers": 10.0}, (1, 3)), Spent({"waits for a step": 20.0}, (2, 1))]
    other = [Spent({"computes layers": 10.0}, (2,)), Spent({"computes layers": 10.0}, (1,))]
    first, second, third, _ = shares([*stage, *other], tensor=2)
    assert first == pytest.approx({"computes layers": 1, "in collectives": 0.4, "moving": 0.2})
    assert second == pytest.approx({"waits for a step": 1, "in collectives": 0.15, "moving": 0.1})
    assert third["moving"] == pytest.approx(0.1)
    with pytest.raises(ValueError, match="shorter"):
        list(shares([Spent({}, (1,)), Spent({}, ())], tensor=2))


def test_sides_use_the_degree_that_they_are_named_after() -> None:
    for sides in SIDES.values():
        assert sides[0].degree == Degree()
        for each in sides:
            args = on_cpu(SMOLLM2, **each.setting())
            assert args.least_degree == each.degree
            assert args.num_threads == (2 if each.label == WHOLE else 1)
