"""The rendered JSON against Grafana's own types: no property that Grafana does not know, none of a wrong type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

JSON = Path("cluster/grafana/json")
TYPESCRIPT = Path(__file__).parent / "typescript"
SCHEMA = "@grafana/schema"
PLUGINS = {
    "heatmap": "Heatmap",
    "stat": "Stat",
    "state-timeline": "StateTimeline",
    "table": "Table",
    "timeseries": "TimeSeries",
}


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which TypeScript and Grafana's types are installed, in the versions of the lock file."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: apt-get install npm")
    folder = tmp_path_factory.mktemp("typescript")
    for file in TYPESCRIPT.iterdir():
        shutil.copy(file, folder)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    installed = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if installed.returncode and not os.environ.get("CI"):
        pytest.skip(f"npm cannot install TypeScript here: {installed.stderr[-300:]}")
    assert installed.returncode == 0, installed.stderr
    return folder


def compile_all(folder: Path, sources: dict[str, str]) -> str:
    """What the compiler complains of."""
    for file in folder.glob("checked-*.ts"):
        file.unlink()
    for name, source in sources.items():
        (folder / f"checked-{name}.ts").write_text(source)
    command = [str(folder / "node_modules/.bin/tsc"), "--project", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode == 0) == (ran.stdout == ""), ran.stderr
    return ran.stdout


def source(dashboard: dict[str, Any]) -> str:
    """The dashboard as TypeScript. Panels stand alone: beside rows a row's properties would pass in them."""
    panels = dashboard.pop("panels")
    return "\n".join(
        [
            f'import type {{ Panel, RowPanel }} from "{SCHEMA}";',
            'import type { Plain, PrometheusDashboard, PrometheusQuery } from "./plain.js";',
            *map(plugin_import, PLUGINS),
            f"export const dashboard = {json.dumps(dashboard)} satisfies Plain<PrometheusDashboard>;",
            *(line for panel in panels for line in panel_lines(panel)),
        ]
    )


def plugin_import(plugin: str) -> str:
    name = PLUGINS[plugin]
    path = f"{SCHEMA}/dist/esm/raw/composable/{plugin.replace('-', '')}/panelcfg/x/{name}PanelCfg_types.gen"
    return f'import type * as {name} from "{path}";'


def panel_lines(panel: dict[str, Any]) -> Iterator[str]:
    number = panel["id"]
    if panel["type"] == "row":
        yield f"export const row{number} = {json.dumps(panel)} satisfies Plain<RowPanel>;"
        return
    plugin = PLUGINS[panel["type"]]
    options, custom = panel["options"], panel["fieldConfig"]["defaults"].get("custom", {})
    yield f"export const panel{number} = {json.dumps(panel)} satisfies Plain<Panel>;"
    yield f"export const targets{number} = {json.dumps(panel['targets'])} satisfies Plain<PrometheusQuery[]>;"
    yield f"export const options{number} = {json.dumps(options)} satisfies Plain<{plugin}.Options>;"
    if plugin != "Stat":
        yield f"export const custom{number} = {json.dumps(custom)} satisfies Plain<{plugin}.FieldConfig>;"


def sources() -> dict[str, str]:
    return {path.stem: source(json.loads(path.read_text())) for path in JSON.glob("*.json")}


def test_every_dashboard_is_of_grafanas_types(compiler: Path) -> None:
    found = sources()
    assert len(found) == 7
    assert compile_all(compiler, found) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"schemaVersion": 42', '"schemaVersion": "42"'),
        ('"displayMode": "table"', '"displayMode": "tables"'),
        ('"graphTooltip": 1', '"graphTooltip": "1"'),
        ('"editable": true', '"editabel": true'),
        ('"lineWidth": 1', '"lineWidht": 1'),
        ('"format": "heatmap"', '"format": "hotmap"'),
    ],
)
def test_what_grafana_does_not_know_is_found(compiler: Path, right: str, wrong: str) -> None:
    text = sources()["stowage-model"]
    assert right in text
    assert "error TS" in compile_all(compiler, {"wrong": text.replace(right, wrong)})
