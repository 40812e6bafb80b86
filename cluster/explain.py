"""``stowage explain``: why a model has as many replicas as it has."""

from __future__ import annotations

import time

from pydantic import TypeAdapter

from cluster.explain_rows import CHANGE_COLUMNS, change_row, headline, lines
from cluster.live.admin import Admin
from cluster.models_live import DEFAULT_URL, KeyOption, ModelArgument, TimeoutOption, UrlOption
from cluster.terminal.options import JsonOption
from cluster.terminal.render import open_console, print_json, print_table
from deployments.scaling.account import ScalingAccount

_ACCOUNT = TypeAdapter(ScalingAccount)
_TIMEOUT_S = 30.0


def explain(
    model: ModelArgument,
    *,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    timeout: TimeoutOption = _TIMEOUT_S,
    as_json: JsonOption = False,
) -> None:
    """Say why a model has as many replicas as it has, what comes next, and what was changed last."""
    account = Admin(url, key, timeout).scaling(model)
    if as_json:
        print_json(_ACCOUNT.dump_python(account, mode="json"))
        return
    now = time.time()
    console = open_console()
    console.print(headline(account.replicas))
    for name, text in lines(account, now):
        console.print(f"  {name:<11} {text}")
    if account.changes:
        console.print()
        print_table(CHANGE_COLUMNS, [change_row(change) for change in reversed(account.changes)])
