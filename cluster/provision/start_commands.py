"""The shell commands that start Ray on a node, inside its container. Pure."""

from __future__ import annotations

import shlex

from cluster.provision.spec import ClusterSpec

GCS_PORT = 6379
METRICS_PORT = 8080


def head_commands(spec: ClusterSpec, *options: str) -> list[str]:
    """The dashboard listens on the head's loopback: `ray dashboard` leads there."""
    flags = [f"--port={GCS_PORT}", "--dashboard-host=127.0.0.1", *_everywhere(spec), *options]
    return ["ray stop", f"{_spill_folder(spec)} && ray start --head {' '.join(flags)}"]


def worker_commands(spec: ClusterSpec, *options: str) -> list[str]:
    flags = [f"--address=$RAY_HEAD_IP:{GCS_PORT}", *_everywhere(spec), *options]
    return ["ray stop", f"{_spill_folder(spec)} && ray start {' '.join(flags)}"]


def version_check(spec: ClusterSpec) -> str:
    """Fails, saying why, in an image with another Ray: it could not join the cluster."""
    has = """$(python -c 'from importlib.metadata import version; print(version("ray"))')"""
    return (
        f'has="{has}"; test "$has" = {spec.ray_version} || '
        f'{{ echo "the image has Ray $has, the cluster {spec.ray_version}" >&2; exit 1; }}'
    )


def module_check(module: str, extra: str) -> str:
    """Fails, saying why, in an image without what the autoscaler speaks to the cloud with."""
    what = f"the image has no {module}: build it with --build-arg EXTRAS={extra}"
    return f"python -c 'import {module}' || {{ echo {shlex.quote(what)} >&2; exit 1; }}"


def driver_check() -> str:
    """Waits for the driver of the GPUs, which some images install when they start for the first time."""
    return (
        "for _ in $(seq 120); do nvidia-smi > /dev/null 2>&1 && exit 0; sleep 5; done; "
        'echo "nvidia-smi finds no working driver within 10 minutes" >&2; exit 1'
    )


def user_check(spec: ClusterSpec) -> str:
    """Fails, saying why, on a host whose SSH user could share no files with the image's."""
    return (
        f'test "$(id -u)" = {spec.image.uid} || {{ echo "user $(whoami) has the id $(id -u), '
        f'that of the image {spec.image.uid}: the image could not read the token" >&2; exit 1; }}'
    )


def _everywhere(spec: ClusterSpec) -> list[str]:
    spill = shlex.quote(spec.spill_directory)
    return [f"--metrics-export-port={METRICS_PORT}", f"--object-spilling-directory={spill}"]


def _spill_folder(spec: ClusterSpec) -> str:
    return f"mkdir -p {shlex.quote(spec.spill_directory)}"
