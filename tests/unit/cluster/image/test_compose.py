"""The compose file by the Compose specification, and against the files that it leads to."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from cluster.config.config_file import ConfigFile
from cluster.validate import find_problems
from models.version import VERSION
from tests.unit.cluster.image.dockerfile import FOLDER, environment
from tests.unit.source_tree import ROOT

Compose = dict[str, Any]

TEXT = (FOLDER / "compose.yaml").read_text()
# With the defaults of its variables, anchors resolved, and our own notes left out.
COMPOSE: Compose = {
    name: value
    for name, value in yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", TEXT)).items()
    if not name.startswith("x-")
}
SERVICES: dict[str, Compose] = COMPOSE["services"]
NODES = ("head", "deploy", "worker")

services = pytest.mark.parametrize("name", SERVICES)


def check(compose: Compose) -> None:
    """ValueError for what the specification does not allow; unknown fields are errors."""
    PyCompose.from_yaml(yaml.safe_dump(compose)).validate()


def test_it_follows_the_specification() -> None:
    check(COMPOSE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda services: services["head"].update(restrat="always"),
        lambda services: services["head"].update(secrets=["ray_tokn"]),
        lambda services: services["redis"]["healthcheck"].update(interval="often"),
        lambda services: services["deploy"]["depends_on"]["head"].update(condition="healthy"),
    ],
)
def test_what_does_not_is_found(spoil: Callable[[dict[str, Compose]], None]) -> None:
    compose = copy.deepcopy(COMPOSE)
    spoil(compose["services"])
    with pytest.raises(ValueError, match=r"restrat|ray_tokn|often|healthy"):
        check(compose)


@services
def test_it_is_reached_from_this_machine_only(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert SERVICES[name].get("network_mode") is None


@services
def test_it_has_one_version_a_bound_and_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$|:\d+\.\d+-\w+$", service["image"])
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert "healthcheck" in service or name in NODES  # those have that of the image


@services
def test_it_waits_for_what_is_there_and_checked(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] == "service_healthy"
        assert not SERVICES[other].get("healthcheck", {}).get("disable", False)


@services
def test_what_it_mounts_is_in_the_repository_or_a_volume(name: str) -> None:
    for source, _target, *_options in (volume.split(":") for volume in SERVICES[name].get("volumes", [])):
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_no_secret_is_in_it() -> None:
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    for service in SERVICES.values():
        given = {name for name in service.get("environment", {}) if re.search("PASSWORD|TOKEN", name)}
        assert {name for name in given if not re.search(r"(?:FILE|PATH)$", name)} == set()


@pytest.mark.parametrize("name", NODES)
def test_nodes_run_the_image_of_this_release(name: str) -> None:
    assert SERVICES[name]["image"] == f"stowage:{VERSION}-cpu"
    for _source, target, *_options in (volume.split(":") for volume in SERVICES[name]["volumes"]):
        assert target.startswith((f"{environment()['HOME']}/", f"{environment()['PYTHONPATH']}/"))


def test_what_it_deploys_is_the_projects_configuration_behind_an_open_address() -> None:
    ours = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    ours["http_options"]["host"] = "0.0.0.0"
    ours["applications"][0]["args"] = {"keys": "required", "allow_unencrypted": True, "state": "env:STOWAGE_STATE"}
    assert yaml.safe_load((FOLDER / "serve_config.yaml").read_text()) == ours


def test_what_it_deploys_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # with an empty model store
    assert find_problems(ConfigFile.read(FOLDER / "serve_config.yaml"))[0] == []


def test_prometheus_asks_the_head(tmp_path: Any) -> None:
    """The command of its container, up to Prometheus itself."""
    service = SERVICES["prometheus"]
    (command,) = service["command"]
    edit, _, start = command.partition(" && exec ")
    mounted = {
        target: FOLDER / source for source, target, *_ in (row.split(":") for row in service["volumes"][:2])
    }
    for target, source in mounted.items():
        copied = tmp_path / target.lstrip("/")
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copied) if source.is_dir() else shutil.copy(source, copied)
    folder = re.search(r"--config.file=(\S+)/prometheus.yml", start)
    assert folder
    words = re.sub(r"(?<= )/(etc|run)/", rf"{tmp_path}/\1/", edit)
    subprocess.run([*service["entrypoint"], words], check=True)
    (token,) = service["secrets"]
    (tmp_path / token["target"].lstrip("/")).write_text("token\n")
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / folder[1].lstrip("/") / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "http://head:8265/" in (tmp_path / folder[1].lstrip("/") / "prometheus.yml").read_text()


def test_grafana_reads_that_prometheus() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana-datasources.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
