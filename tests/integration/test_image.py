"""What the Dockerfile does, done in a folder: the project on PYTHONPATH serves, and the health check tells."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from models.version import VERSION
from tests.integration.cluster import eventually, free_port
from tests.integration.image_root import ImageRoot
from tests.unit.cluster.image.dockerfile import LAST_STAGE, as_list, of_stage


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ImageRoot:
    return ImageRoot(tmp_path_factory.mktemp("image"))


def test_the_project_is_not_installed_and_runs(root: ImageRoot) -> None:
    shown = root.run("stowage", "--version")
    assert (shown.returncode, shown.stdout) == (0, f"stowage {VERSION}\n"), shown.stderr
    where = root.run("python", "-c", "import cluster, deployments, models; print(cluster.__path__[0])")
    assert where.stdout.strip() == f"{root.environment['PYTHONPATH']}/cluster"
    shipped = "from importlib.metadata import version; version('stowage')"
    assert "PackageNotFoundError" in root.run("python", "-c", shipped).stderr


def test_the_shipped_configuration_is_valid_and_planned(root: ImageRoot) -> None:
    assert root.run("stowage", "validate", "serve_config.yaml").returncode == 0
    planned = root.run("stowage", "plan", "serve_config.yaml", "--node-memory", "8GiB")
    assert planned.returncode == 0, planned.stderr
    assert "smollm2-135m@1" in planned.stdout


def test_a_build_for_cpus_says_where_its_pytorch_has_to_come_from(root: ImageRoot) -> None:
    (step,) = (run for run in of_stage("packages", "RUN") if "TORCH_INDEX_URL" in run)
    shell = step.partition("/pip ")[2]  # behind the options of RUN
    refused = root.run("sh", "-c", shell, VARIANT="cpu")
    assert refused.returncode == 1
    assert refused.stderr.strip() == "VARIANT=cpu needs TORCH_INDEX_URL, the package index of PyTorch's CPU builds"


@pytest.fixture
def serving(root: ImageRoot, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The image's own command with a router alone, and where its health is asked."""
    router = yaml.safe_load((root.working_directory / "serve_config.yaml").read_text())
    router["http_options"]["port"] = port = free_port()
    router["grpc_options"]["port"] = free_port()
    router["applications"] = router["applications"][:1]
    (root.working_directory / "serve_config.yaml").write_text(yaml.safe_dump(router))
    (command,) = of_stage(LAST_STAGE, "CMD")
    process = root.start(*as_list(command))
    try:
        yield process, root.environment["STOWAGE_HEALTH_URL"].replace(":8000", f":{port}")
    finally:
        process.kill()
        process.communicate()


def test_it_serves_is_healthy_and_ends(root: ImageRoot, serving: tuple[subprocess.Popen[str], str]) -> None:
    process, url = serving
    assert not root.is_healthy(STOWAGE_HEALTH_URL=url)
    eventually(
        lambda: root.is_healthy(STOWAGE_HEALTH_URL=url) or process.poll() is not None,
        180,
        "the container is healthy",
    )
    assert process.poll() is None, process.communicate()[0]
    process.send_signal(signal.Signals[of_stage(LAST_STAGE, "STOPSIGNAL")[0]])
    assert process.communicate(timeout=90)[0].endswith("Stopped.\n")
    assert process.returncode == 0
    assert not root.is_healthy(STOWAGE_HEALTH_URL=url)
