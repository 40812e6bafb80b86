"""``stowage usage``: what was used, from the state database."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from cluster.state_location import StateConfigOption, StateOption, open_state
from cluster.terminal.options import JsonOption
from cluster.terminal.render import print_json, print_table
from deployments.limits.amounts import show_money
from deployments.state.usage_total import UsageColumn, UsageTotal

_TOTALS = ("requests", "input tokens", "output tokens", "cost")
_DATE = ["%Y-%m-%d"]


def usage(
    by: Annotated[
        list[UsageColumn] | None, typer.Option(help="What to tell apart; repeatable. Default: model.")
    ] = None,
    *,
    since: Annotated[datetime | None, typer.Option(formats=_DATE, help="The first day (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DATE, help="The last day (UTC).")] = None,
    state: StateOption = None,
    config: StateConfigOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
) -> None:
    """Show requests, tokens and cost. Routers bring the figures up to date once per second."""
    from deployments.state.usage import read_usage  # noqa: PLC0415  only what reads it waits for SQLAlchemy

    columns = by or [UsageColumn.MODEL]
    with open_state(state, config) as database, database.read() as connection:
        totals = read_usage(connection, columns, since and since.date(), until and until.date())
    if as_json:
        print_json([_object(columns, total) for total in totals])
    elif as_csv:
        _print_csv(columns, totals)
    elif totals:
        print_table((*columns, *_TOTALS), [_row(total) for total in totals], right=_TOTALS)
    else:
        typer.echo("no usage")


def _row(total: UsageTotal) -> tuple[str, ...]:
    counts = (total.requests, total.input_tokens, total.output_tokens)
    return (*(text or "-" for text in total.group), *map(str, counts), show_money(total.cost_nano))


def _object(columns: Sequence[UsageColumn], total: UsageTotal) -> dict[str, object]:
    """Money as text: a number in JSON may lose digits. None for what a request does not have."""
    return {
        **{column: text or None for column, text in zip(columns, total.group, strict=True)},
        "requests": total.requests,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cost": show_money(total.cost_nano),
    }


def _print_csv(columns: Sequence[UsageColumn], totals: Sequence[UsageTotal]) -> None:
    """Under the names that JSON has, also when there is nothing."""
    names = [*columns, "requests", "input_tokens", "output_tokens", "cost"]
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_object(columns, total) for total in totals)
