"""One replica of a tiny model, alone in a cluster of its own, and what it measures of itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import yaml

from cluster.child import ChildProcess, Patience, StopSignals
from cluster.config.applications import MODEL_BUILDER, ROUTER_BUILDER
from cluster.environment import serve_environment
from cluster.live.dashboard import Dashboard, read_token
from cluster.live.http_get import post_json
from cluster.live.readiness import Phase, ReadinessProbe
from cluster.live.replica_metrics import ReplicaMemory, fetch_metrics, replica_memory
from cluster.serve_output import ServeOutput, serve_command
from cluster.tiny_models import TinyModel
from models.errors import StowageError
from models.types import Task

_HOST = "127.0.0.1"
_ROUTER = "router"
_POLL_S = 1.0
_START_S = 180.0
_REQUEST_S = 60.0
# A replica looks at itself every 5 s, and Ray sends what it found to the endpoint every 10 s.
_REPORTED_S = 20.0

Found = TypeVar("Found")


class LoneReplica:
    """Starts ``serve run`` for one model at a time in ``folder``; ``signals`` end the waiting."""

    def __init__(self, folder: Path, signals: StopSignals) -> None:
        self._folder = folder
        self._signals = signals

    def measure(self, model: TinyModel, device: str) -> ReplicaMemory:
        """The memory of a replica on ``device`` (``cpu``, ``gpu``) after its first request. StowageError."""
        port = _free_port()
        base_url, application = f"http://{_HOST}:{port}", f"{model.engine}@1"
        with self._running(_write_config(model, device, port, self._folder)) as find_dashboard:
            probe = ReadinessProbe(f"{base_url}/readyz", _ROUTER)
            self._until(
                lambda: _is_ready(probe, find_dashboard(), application), _START_S, f"{application} is ready"
            )
            _ask(base_url, model)
            self._pause(_REPORTED_S)
            return self._until(
                lambda: _reported(find_dashboard(), application), _REPORTED_S, "the replica has reported"
            )

    @contextmanager
    def _running(self, config: Path) -> Iterator[Callable[[], Dashboard | None]]:
        """Gives what finds the cluster's dashboard, once it has one."""
        output = ServeOutput(lambda _: None)
        environment = {**serve_environment(os.environ), "RAY_ADDRESS": "local"}
        child = ChildProcess(serve_command(config), environment, output.line)

        def find_dashboard() -> Dashboard | None:
            if child.exit_code() is not None:
                raise StowageError("\n".join(["`serve run` ended by itself:", *child.last_lines()]))
            url = output.dashboard_url
            return Dashboard(url, read_token(os.environ, Path.home())) if url else None

        try:
            yield find_dashboard
        finally:
            child.stop(Patience())

    def _until(self, probe: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
        for _ in range(int(timeout_s / _POLL_S)):
            if found := probe():
                return found
            self._pause(_POLL_S)
        raise StowageError(f"not within {timeout_s:g} s: {what}")

    def _pause(self, duration_s: float) -> None:
        if self._signals.wait(duration_s):
            raise StowageError("interrupted: nothing was measured in full, nothing is written")


def _write_config(model: TinyModel, device: str, port: int, folder: Path) -> Path:
    """A router, and the model alone, in a store of their own."""
    args: dict[str, object] = {
        "model": model.engine,
        "source": model.source,
        "task": str(model.task),
        "device": device,
        "store": str(folder / "store"),
    }
    if model.tokenizer:
        args["tokenizer"] = model.tokenizer
    applications = [
        {"name": _ROUTER, "route_prefix": "/", "import_path": ROUTER_BUILDER},
        {"name": f"{model.engine}@1", "route_prefix": None, "import_path": MODEL_BUILDER, "args": args},
    ]
    content = {"http_options": {"host": _HOST, "port": port}, "applications": applications}
    path = folder / f"{model.engine}-{device}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _is_ready(probe: ReadinessProbe, dashboard: Dashboard | None, application: str) -> bool:
    observed = probe(dashboard).get(application)
    if observed is not None and observed.phase is Phase.FAILED:
        raise StowageError(f"{application} does not start: {observed.reason}")
    return observed is not None and observed.phase is Phase.READY


def _ask(base_url: str, model: TinyModel) -> None:
    """One short request, so that everything that is loaded late is loaded."""
    body: dict[str, object] = {"model": f"{model.engine}@1"}
    if model.task is Task.GENERATE:
        path, body = "/v1/completions", {**body, "prompt": "a b c", "max_tokens": 4, "temperature": 0}
    else:
        path, body = "/v1/embeddings", {**body, "input": "a b c"}
    reply = post_json(base_url + path, body, timeout_s=_REQUEST_S)
    if reply.status != 200:
        raise StowageError(f"{model.engine}: HTTP {reply.status}: {reply.body[:500].decode(errors='replace')}")


def _reported(dashboard: Dashboard | None, application: str) -> ReplicaMemory | None:
    if dashboard is None:
        return None
    running = {app.name: app.replicas for app in dashboard.applications()}
    found = replica_memory(fetch_metrics(dashboard).samples, running)
    return next((each for each in found if each.application == application), None)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind((_HOST, 0))
        port: int = opened.getsockname()[1]
        return port
