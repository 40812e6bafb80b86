"""How results look: a table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED_CELLS = 200  # nothing to fit into: keep one row on one line


def print_json(value: object) -> None:
    """``value`` on standard output; what JSON does not know (dates, paths, ids) as its text."""
    typer.echo(json.dumps(value, indent=2, default=str))


def open_console() -> Console:
    """Standard output, in colours where it takes them. What is printed is never read as markup."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED_CELLS
    return console


def make_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Iterable[str] = ()
) -> Table:
    """Cells are folded and never cut; the columns named in ``right`` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Iterable[str] = ()
) -> None:
    """A table on standard output."""
    open_console().print(make_table(columns, rows, right=right))
