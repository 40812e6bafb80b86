"""The PromQL of dashboards with values in the place of Grafana's variables, and promtool, which reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import yaml

from cluster.grafana.layout import Dashboard

# What Grafana puts in while `All` is chosen, and for scrapes each 10 s.
EVERYTHING = {"__rate_interval": "1m"}
_ANYTHING = ".*"


def substituted(expr: str, chosen: Mapping[str, str] = EVERYTHING) -> str:
    """All that is not chosen is everything."""
    return re.sub(r"\$(\w+)", lambda found: chosen.get(found[1], _ANYTHING), expr)


def expressions(boards: Iterable[Dashboard], *, marks: bool = True) -> dict[str, str]:
    """Of panels, and of annotations with ``marks``, by where they stand."""
    found = {}
    for board in boards:
        for panel in board.panels():
            for query in panel.queries:
                found[f"{board.uid} {panel.title} {query.legend}"] = substituted(query.expr)
        for mark in board.annotations if marks else ():
            found[f"{board.uid} {mark.name}"] = substituted(mark.expr)
    return found


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs it; skips the test where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def check_expressions(wanted: Mapping[str, str]) -> None:
    """As recording rules, which promtool parses and type-checks; AssertionError with what it says."""
    rules = [
        {"record": f"checked:expression_{number}", "expr": expr} for number, expr in enumerate(wanted.values())
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "checked", "rules": rules}]}))
        ran = promtool("check", "rules", str(file))
    assert ran.returncode == 0, ran.stdout + ran.stderr
