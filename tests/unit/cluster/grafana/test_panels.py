"""Every panel has data where there is all that the table of metrics promises: its labels and joins are right.

What a real cluster's metrics make of them is shown by tests/integration/test_dashboards.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from cluster.grafana.boards.all import BOARDS
from tests.unit.cluster.grafana.expressions import expressions, promtool
from tests.unit.cluster.grafana.series import all_series


def evaluate(folder: Path, wanted: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One sample, 1, is expected of each expression that has any."""
    tests = [
        {"expr": f"clamp_max(count({expr}), 1)", "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for expr in wanted.values()
    ]
    series = [{"series": series, "values": values} for series, values in all_series().items()]
    file = folder / "panels.yml"
    file.write_text(
        yaml.safe_dump({"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": tests}]})
    )
    return promtool("test", "rules", str(file))


def test_every_expression_has_data_where_there_is_all(tmp_path: Path) -> None:
    ran = evaluate(tmp_path, expressions(BOARDS, marks=False))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_an_expression_without_data_is_found(tmp_path: Path) -> None:
    assert evaluate(tmp_path, {"wrong": 'ray_stowage_model_status{status="redy"}'}).returncode != 0
