"""The table as the document docs/metrics.md: ``make docs`` writes it, a test keeps it so."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from deployments.metrics.row import HistogramRow, Row, Section
from deployments.metrics.table import LABELS, SECTIONS

MARK = "<!-- From here on: make docs -->"


def render() -> str:
    """What follows the mark: a table for each section, and the labels."""
    return "\n".join([*(line for section in SECTIONS for line in _section(section)), *_labels(), ""])


def written(document: str) -> str:
    """The document with what is generated in it. ValueError where it has no mark."""
    head, mark, _ = document.partition(MARK)
    if not mark:
        raise ValueError(f"the document has no line {MARK!r} to write after")
    return f"{head}{mark}\n\n{render()}"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {section.title}", "", f"Reported by {section.reporter}.", "")
    yield from ("| metric | type | labels | meaning |", "| --- | --- | --- | --- |")
    for row in section.rows:
        yield f"| `{row.exported}` | {row.kind} | {_codes(row.labels)} | {_meaning(row)} |"
    yield ""
    for row in section.rows:
        if isinstance(row, HistogramRow):
            yield f"Buckets of `{row.exported}`: {', '.join(f'{bound:g}' for bound in row.buckets)}."
            yield ""


def _meaning(row: Row) -> str:
    return f"{row.meaning}. Needs {row.needs}" if row.needs else row.meaning


def _labels() -> Iterator[str]:
    yield from ("## Labels", "", "| label | |", "| --- | --- |")
    yield from (f"| `{name}` | {meaning} |" for name, meaning in sorted(LABELS.items()))


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(written(page.read_text()))
