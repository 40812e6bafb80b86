"""``stowage status`` on a live cluster, and the way down."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.cluster import (
    BIN,
    Cluster,
    command_line,
    demo_config,
    eventually,
    free_port,
    run_command,
    run_json,
)


def test_status_shows_models_versions_and_planned_bytes(cluster: Cluster) -> None:
    text = json.dumps(run_json("stowage", "status", "--address", cluster.dashboard_url))
    for name in ("router", "smollm2-135m@1", "minilm@1", "minilm@2"):
        assert name in text
    table = run_command("stowage", "status", "--address", cluster.dashboard_url)
    assert "minilm@2" in table


def test_status_of_nothing_says_so() -> None:
    assert "127.0.0.1:1" in run_command("stowage", "status", "--address", "http://127.0.0.1:1", expect=1)


def test_a_second_cluster_on_the_same_port_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    second = Cluster(cluster.config, tmp_path)
    try:
        assert second.wait_for_end(timeout_s=60) == 1
    finally:
        second.interrupt()
    assert any("in use" in line for line in second.output), second.output


def test_banner_names_urls_and_a_first_call(cluster: Cluster) -> None:
    text = "\n".join(cluster.output)
    assert f"{cluster.base_url}/v1" in text
    assert f"{cluster.base_url}/v2" in text
    assert "curl" in text


@pytest.fixture
def another_ray(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray that was started on this machine for something else, and that Ray's commands find by themselves."""
    command = [str(BIN / "ray"), "start", "--head", "--block", f"--port={free_port()}", "--num-cpus=0"]
    log = tmp_path / "ray.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--include-dashboard=false"], stdout=output, stderr=output)
    try:
        eventually(lambda: "Ray runtime started" in log.read_text(), 60, "another Ray runs")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def test_ctrl_c_leaves_nothing_behind_and_another_ray_alone(
    another_ray: subprocess.Popen[bytes], store_folder: Path, tmp_path: Path
) -> None:
    config = demo_config(store_folder, free_port())
    config["applications"] = [app for app in config["applications"] if app["name"] in ("router", "minilm@2")]
    running = Cluster(config, tmp_path)
    running.wait_until_announced(timeout_s=180)
    processes = running.descendants()
    has_ray = any("raylet" in " ".join(command_line(pid)[:1]) for pid in processes)
    assert running.interrupt() in (0, 130)
    assert has_ray
    eventually(lambda: not any(map(psutil.pid_exists, processes)), 10, "no process is left")
    assert another_ray.poll() is None
