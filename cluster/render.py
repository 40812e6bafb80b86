"""How results look: a table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table


def print_json(value: object) -> None:
    """``value`` on standard output; what JSON does not know (dates, paths, ids) as its text."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """Cells are plain text, folded and never cut; the columns named in ``right`` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fit into: keep one row on one line
    console.print(table)
