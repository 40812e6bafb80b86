"""The table is complete, says things once, and keeps to Prometheus' conventions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from ray.util.metrics import Counter, Gauge, Histogram

from deployments.metrics.page import MARK, render, written
from deployments.metrics.ray_metrics import begin, make_counter, make_gauge, make_histogram
from deployments.metrics.row import CounterRow, GaugeRow, HistogramRow, Row
from deployments.metrics.table import LABELS, ROWS
from tests.unit.source_tree import ROOT, Module, read_modules

MODULES = read_modules()
KINDS = {CounterRow.__name__, GaugeRow.__name__, HistogramRow.__name__}
RAYS_LABELS = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId", "le"}
COUNTER = CounterRow("stowage_test_things_total", "for this test", ("model",))


def rows_made_in(module: Module) -> Iterator[str]:
    """The names of the metrics whose rows the module writes down."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            name = node.args[0]
            assert isinstance(name, ast.Constant), f"{module.name}: a metric's name is written out"
            yield str(name.value)


def test_what_is_not_in_the_table_does_not_exist() -> None:
    made = sorted(name for module in MODULES.values() for name in rows_made_in(module))
    assert made == sorted(row.name for row in ROWS)


def test_rays_metrics_are_made_in_one_place() -> None:
    users = [
        module.name
        for module in MODULES.values()
        if any(name.startswith("ray.util.metrics") for name in module.imports())
    ]
    assert users == ["deployments.metrics.ray_metrics"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_keeps_to_the_conventions(row: Row) -> None:
    assert re.fullmatch(r"stowage_[a-z]+(_[a-z]+)+", row.name)
    assert row.name.endswith("_total") == isinstance(row, CounterRow)
    assert not row.meaning.endswith(".")
    assert len(set(row.labels)) == len(row.labels)
    assert RAYS_LABELS.isdisjoint(row.labels)
    if isinstance(row, HistogramRow):
        assert list(row.buckets) == sorted(set(row.buckets))
        assert row.buckets[0] > 0


def test_names_and_labels_are_said_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {label for row in ROWS for label in row.labels} == set(LABELS)


def test_the_unit_is_what_the_name_ends_in() -> None:
    units = {
        "stowage_a_wait_seconds": "seconds",
        "stowage_a_bytes_total": "bytes",
        "stowage_used_ratio": "ratio",
        "stowage_requests_total": "",
    }
    assert {name: Row(name, "for this test").unit for name in units} == units


def test_the_document_is_the_table() -> None:
    document = (ROOT / "docs/metrics.md").read_text()
    assert document == written(document), "make docs"


def test_what_is_generated_follows_the_mark() -> None:
    assert written(f"by hand\n{MARK}\nold\n") == f"by hand\n{MARK}\n\n{render()}"
    with pytest.raises(ValueError, match="no line"):
        written("by hand\n")


def test_each_kind_of_row_becomes_that_kind_of_metric() -> None:
    counter = make_counter(COUNTER, {"model": "m"})
    gauge = make_gauge(GaugeRow("stowage_test_level", "for this test"))
    histogram = make_histogram(HistogramRow("stowage_test_wait_seconds", "for this test", buckets=(0.1, 1.0)))
    assert (type(counter), type(gauge), type(histogram)) == (Counter, Gauge, Histogram)
    assert counter.info["default_tags"] == {"model": "m"}
    assert histogram.info["boundaries"] == [0.1, 1.0]


def test_a_counter_can_begin_at_nothing() -> None:
    begin(make_counter(COUNTER), {"model": "m"})
    with pytest.raises(ValueError, match="model"):
        begin(make_counter(COUNTER))  # Ray checks the labels
