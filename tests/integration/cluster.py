"""A real cluster for tests: ``stowage serve`` in a process of its own, and what an operator does to it."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import yaml
from ray.serve.schema import ServeInstanceDetails

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

Result = TypeVar("Result")
Config = dict[str, Any]


_PORTS = iter(random.sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    """One that nobody has, below those that Linux gives to who asks for any and above those of Ray's workers: it
    is bound seconds later, and until then hundreds of others are taken.
    """
    for port in _PORTS:
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def demo_config(store: Path, port: int) -> Config:
    """The repository's own serve_config.yaml with other ports, store and books, and small CPU shares."""
    config: Config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["http_options"]["port"] = port
    config["grpc_options"]["port"] = free_port()
    for application in config["applications"]:
        application["args"]["num_cpus"] = 0.1
        if application["name"] == "router":
            application["args"]["state"] = f"sqlite:///{store.with_name(f'state-{port}.db')}"
            application["args"]["audit_dir"] = str(store.with_name(f"audit-{port}"))
        else:
            application["args"]["store"] = str(store)
    return config


def application(config: Config, name: str) -> Config:
    found: Config = next(app for app in config["applications"] if app["name"] == name)
    return found


def eventually(probe: Callable[[], Result | None], timeout_s: float, what: str) -> Result:
    """The first truthy answer of ``probe``; AssertionError after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.2)


class Cluster:
    """One running ``stowage serve``, with ``env`` added to its environment."""

    def __init__(self, config: Config, folder: Path, env: dict[str, str] | None = None) -> None:
        self.config = config
        self.folder = folder
        self.base_url = f"http://127.0.0.1:{config['http_options']['port']}"
        self.output: list[str] = []
        self._process = subprocess.Popen(
            [str(BIN / "stowage"), "serve", str(self._write(config))],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "RAY_SERVE_LOG_TO_STDERR": "0", "COLUMNS": "200", **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_announced(self, timeout_s: float) -> None:
        """Until the banner with the URLs has been printed; where it is not, the cluster is ended."""
        try:
            eventually(
                lambda: any("Ctrl-C stops" in line for line in self.output) or self._process.poll() is not None,
                timeout_s,
                "stowage serve is ready",
            )
        except AssertionError as error:
            try:
                raise AssertionError("\n".join([str(error), *self.output, *self._newest_lines()])) from None
            finally:
                self.interrupt()
        assert self._process.poll() is None, "\n".join(self.output)

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.config['grpc_options']['port']}"

    @property
    def dashboard_url(self) -> str:
        match = re.search(r"Ray dashboard\s+(http://\S+)", "\n".join(self.output))
        assert match, "\n".join(self.output)
        return match.group(1)

    @property
    def ray_address(self) -> str:
        """Of this cluster's own GCS: another Ray may run on the machine."""
        return self._ray_options("--gcs-address")[0]

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

    def interrupt(self, timeout_s: float = 90) -> int:
        """Ctrl-C; the exit code. What does not end by that is killed, and TimeoutExpired raised."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self.wait_for_end(timeout_s)
        except subprocess.TimeoutExpired:
            for pid in [*self.descendants(), self._process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise

    def wait_for_end(self, timeout_s: float) -> int:
        """The exit code, once it has ended by itself or after a signal."""
        code = self._process.wait(timeout_s)
        self._reader.join(5)
        return code

    def descendants(self) -> set[int]:
        """Every process that belongs to this cluster now."""
        return _descendants(self._process.pid)

    def _ray_options(self, name: str) -> list[str]:
        """What Ray's own processes of this cluster were given as ``name=VALUE``."""
        options = [option for pid in self.descendants() for option in command_line(pid)]
        return [option.partition("=")[2] for option in options if option.startswith(f"{name}=")]

    def serve_logs(self) -> list[Path]:
        """Of the controller, the proxies and each replica; none before Ray runs."""
        folders = {Path(session) / "logs" / "serve" for session in self._ray_options("--session_dir")}
        return sorted(log for folder in folders for log in folder.glob("*.log"))

    def _newest_lines(self) -> list[str]:
        """Of each log of Serve."""
        logs = self.serve_logs()
        return [line for log in logs for line in (f"--- {log.name}", *log.read_text().splitlines()[-20:])]

    def _write(self, config: Config) -> Path:
        path = self.folder / "serve_config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self.output.append(line.rstrip("\n"))


def command_line(pid: int) -> list[str]:
    """Of a process; nothing once it has ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).cmdline()
    return []


def end(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Kill those that have not ended, and close what they were talked to by."""
    for process in processes:
        process.kill()
        with process:
            pass


def run_command(*command: str, expect: int = 0, env: dict[str, str] | None = None) -> str:
    """Run one of the environment's commands; its output. AssertionError on another exit code."""
    result = _run(*command, expect=expect, env=env)
    return result.stdout + result.stderr


def run_json(*command: str) -> Any:
    """What one of the environment's commands prints with ``--json``; what it says beside that does not count."""
    return json.loads(_run(*command, "--json").stdout)


def _run(*command: str, expect: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "RAY_AUTH_MODE": "token", "COLUMNS": "200", **(env or {})},
    )
    assert result.returncode == expect, result.stdout + result.stderr
    return result


def _descendants(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()
