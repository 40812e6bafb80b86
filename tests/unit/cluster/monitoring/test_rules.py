"""The alert rules: read by promtool, fired by promtool, made of metrics that there are, each with its runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.grafana.boards import ray_metrics
from cluster.grafana.promql import Foreign
from deployments.metrics.row import HistogramRow
from deployments.metrics.table import ROWS
from tests.markdown import anchors
from tests.unit.cluster.grafana.expressions import promtool
from tests.unit.cluster.monitoring.alert_cases import CASES, Case

RULES = Path("cluster/monitoring/rules")
FILES = sorted(RULES.glob("*.yml"))
SEVERITIES = {"critical", "warning", "info"}


def groups() -> list[dict[str, Any]]:
    return [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]


ALERTS = [rule for group in groups() for rule in group["rules"] if "alert" in rule]
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])


def run_cases(folder: Path, cases: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    file = folder / "cases.yml"
    rules = [str(each.resolve()) for each in FILES]
    file.write_text(yaml.safe_dump({"rule_files": rules, "evaluation_interval": "1m", "tests": cases}))
    return promtool("test", "rules", str(file))


def test_promtool_reads_the_rules() -> None:
    ran = promtool("check", "rules", *map(str, FILES))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    ran = run_cases(tmp_path, [case.as_promtool() for case in CASES])
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_an_alert_that_does_not_fire_is_found(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.alert == "StowageModelFailed")
    always_well = dict.fromkeys(case.series, "0x20")
    ran = run_cases(tmp_path, [Case(case.alert, always_well, case.quiet, case.firing, case.said).as_promtool()])
    assert ran.returncode != 0


def test_what_an_alert_says(tmp_path: Path) -> None:
    """promtool compares whole descriptions; what it got instead of nothing has to have the words in question."""
    asked = [
        {
            **case.as_promtool(),
            "promql_expr_test": [],
            "alert_rule_test": [{"eval_time": f"{case.firing}m", "alertname": case.alert, "exp_alerts": []}],
        }
        for case in CASES
    ]
    ran = run_cases(tmp_path, asked)
    told = re.sub(r"\\(.)", r"\1", ran.stdout + ran.stderr)
    missing = {case.alert: case.said for case in CASES if case.said not in told}
    assert missing == {}, told


def test_every_alert_has_a_case() -> None:
    assert sorted(case.alert for case in CASES) == sorted(alert["alert"] for alert in ALERTS)


@each_alert
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    said = alert["annotations"]
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(said) == {"summary", "description", "runbook_url"}
    assert not said["summary"].endswith(".")
    assert "{{" in said["description"]
    file, _, anchor = said["runbook_url"].partition("#")
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(Path(file).read_text())


@each_alert
def test_an_alert_tells_clusters_apart(alert: dict[str, Any]) -> None:
    """But for those on what Prometheus itself says."""
    if "absent(" not in alert["expr"] and "up{" not in alert["expr"]:
        assert "SessionName" in alert["expr"] or "stowage:" in alert["expr"]


def test_rules_are_made_of_metrics_that_there_are() -> None:
    known = {f"{row.exported}{'_bucket' * isinstance(row, HistogramRow)}" for row in ROWS}
    known |= {each.exported for each in vars(ray_metrics).values() if isinstance(each, Foreign)}
    records = {rule["record"] for group in groups() for rule in group["rules"] if "record" in rule}
    used = {
        name
        for group in groups()
        for rule in group["rules"]
        for name in re.findall(r"\b(?:ray_|autoscaler_|stowage:)[a-z0-9_:]+", rule["expr"])
    }
    assert used <= known | records
