"""LiteLLM's proxy: installed into a virtual environment of its own, and run as its documentation advises."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.server import HOST, ROOT, Server, running

DEFAULT_FOLDER = Path("~/.cache/stowage/litellm").expanduser()
MODEL = "noop"

_REQUIREMENTS = ROOT / "benchmarks/litellm-requirements.txt"
# From "Production Best Practices": no debug output. Its price map is the one in the package, not the newest.
_ENVIRONMENT = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
_START_S = 180


def install(folder: Path) -> Path:
    """The command, after installing what is not there yet; minutes the first time."""
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", "install", *quiet, "--requirement", _REQUIREMENTS], check=True)
    return folder / "bin/litellm"


@contextmanager
def running_litellm(command: Path, upstream_url: str, key: str, port: int, folder: Path) -> Iterator[Server]:
    """In front of OpenAI's API at ``upstream_url``, with ``key`` as its master key and a worker for each core."""
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump(proxy_config(upstream_url, key)), encoding="utf-8")
    workers = str(os.cpu_count() or 1)
    arguments = ["--config", str(config), "--host", HOST, "--port", str(port), "--num_workers", workers]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with running(
        [str(command), *arguments], {**own, **_ENVIRONMENT}, port, "/health/readiness", _START_S
    ) as server:
        yield server


def proxy_config(upstream_url: str, key: str) -> dict[str, object]:
    """Without a database: virtual keys, limits and the spend log, which need one, are off."""
    upstream = {"model": f"openai/{MODEL}", "api_base": upstream_url, "api_key": "none"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
        "general_settings": {"master_key": key},
        "litellm_settings": {"set_verbose": False, "num_retries": 0, "request_timeout": 600},
    }
