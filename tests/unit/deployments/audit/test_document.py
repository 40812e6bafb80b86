"""docs/audit.md names every field, and its recipe checks a real journal."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from deployments.audit.record import AdminRecord, LostRecords, Record, RequestRecord, SegmentStart
from deployments.audit.writer import DEFAULT_LIMITS
from tests.markdown import blocks, table
from tests.unit.deployments.audit.journals import files, write_journal
from tests.unit.source_tree import ROOT

DOCUMENT = (ROOT / "docs" / "audit.md").read_text()


@pytest.mark.parametrize("record", [RequestRecord, AdminRecord, SegmentStart, LostRecords])
def test_every_field_has_its_row(record: type[Record]) -> None:
    fields = {field.name: field for field in dataclasses.fields(record)}
    rows = table(DOCUMENT, f"### `{fields['kind'].default}`")
    written = [row[0].strip("`") for row in rows]
    assert sorted(written) == sorted(fields)
    assert all(row[1] for row in rows)


def test_the_sizes_are_the_real_ones() -> None:
    assert f"has reached {DEFAULT_LIMITS.max_segment_bytes // 2**20} MiB" in DOCUMENT
    assert f"in memory, up to {DEFAULT_LIMITS.max_waiting_bytes // 2**20} MiB" in DOCUMENT


def run_recipe(folder: Path) -> str:
    (recipe,) = (block.text for block in blocks(DOCUMENT, "sh") if "sha256sum" in block.text)
    return subprocess.run(["sh", "-c", recipe], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_recipe_agrees_with_the_code(tmp_path: Path) -> None:
    write_journal(tmp_path, 5, per_segment=2)
    assert run_recipe(tmp_path) == ""
    path = files(tmp_path)[1]
    path.write_text(path.read_text().replace("request-3", "request-9"))
    found = run_recipe(tmp_path).splitlines()
    assert len(found) == 1
    assert '"id":"request-9"' in found[0]
