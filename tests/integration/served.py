"""A running cluster, however it was started: what an operator asks of it, and tells it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import httpx
import yaml
from ray.serve.schema import ServeInstanceDetails

from tests.integration.commands import eventually, run_command, run_json

Config = dict[str, Any]


class Served(ABC):
    """A cluster that runs ``config``, however it was started, and what an operator asks of it."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.base_url = f"http://127.0.0.1:{config['http_options']['port']}"

    @property
    @abstractmethod
    def dashboard_url(self) -> str: ...

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.config['grpc_options']['port']}"

    def deploy(self, config: Config) -> None:
        """``serve deploy``, as an operator runs it."""
        run_command("serve", "deploy", str(self._write(config)), "--address", self.dashboard_url)

    def details(self) -> ServeInstanceDetails:
        return ServeInstanceDetails(**self.dashboard("/api/serve/applications/"))

    def dashboard(self, path: str, **query: str) -> Any:
        """What Ray's dashboard answers to a GET."""
        token = (Path.home() / ".ray" / "auth_token").read_text().strip()
        reply = httpx.get(
            f"{self.dashboard_url}{path}",
            params=query,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        reply.raise_for_status()
        return reply.json()

    def status(self) -> dict[str, dict[str, Any]]:
        """What ``stowage status`` tells of each application, by name."""
        return {app["name"]: app for app in run_json("stowage", "status", "--address", self.dashboard_url)}

    def ray_state(self, kind: str) -> list[dict[str, Any]]:
        """All ``actors`` or ``placement_groups`` that Ray remembers."""
        reply = self.dashboard(f"/api/v0/{kind}", limit="1000", detail="true")
        found: list[dict[str, Any]] = reply["data"]["result"]["result"]
        return found

    def pids(self, name: str) -> set[int]:
        """Process ids of the replicas of one application that serve: one that takes a new configuration does."""
        app = self.details().applications.get(name)
        if app is None:
            return set()
        replicas = [replica for deployment in app.deployments.values() for replica in deployment.replicas]
        serving = {"RUNNING", "UPDATING"}
        return {replica.pid for replica in replicas if replica.state in serving and replica.pid is not None}

    def readiness(self) -> dict[str, dict[str, Any]]:
        """``/readyz`` by ``name@version``."""
        models = httpx.get(f"{self.base_url}/readyz", timeout=30).json()["models"]
        return {f"{entry['model']}@{entry['version']}": entry for entry in models}

    def wait_status(self, name: str, status: str | None, timeout_s: float = 120) -> dict[str, Any]:
        """Until ``/readyz`` gives the model this status; None: until it is gone."""

        def probe() -> dict[str, Any] | None:
            entry = self.readiness().get(name)
            if status is None:
                return {"gone": True} if entry is None else None
            return entry if entry is not None and entry["status"] == status else None

        try:
            return eventually(probe, timeout_s, f"{name} is {status}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.readiness()}") from None

    def restore(self) -> None:
        """Back to the configuration that the cluster was started with."""
        self.deploy(self.config)
        expected = {app["name"] for app in self.config["applications"] if app["name"] != "router"}
        eventually(
            lambda: (
                self.readiness().keys() == expected and all(entry["ready"] for entry in self.readiness().values())
            ),
            180,
            "the first configuration is ready again",
        )

    def edited(self) -> Config:
        """A copy of the configuration, to change and deploy."""
        return copy.deepcopy(self.config)

    def _write(self, config: Config) -> Path:
        path = self.folder / "serve_config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path
