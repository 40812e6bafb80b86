"""A real cluster for tests: ``stowage serve`` in a process of its own, and what an operator does to it."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from tests.integration.commands import BIN, eventually, run_command, run_json
from tests.integration.served import Config, Served

__all__ = ["BIN", "Cluster", "Config", "eventually", "run_command", "run_json"]

ROOT = Path(__file__).resolve().parents[2]
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


class Cluster(Served):
    """One running ``stowage serve``, with ``env`` added to its environment."""

    def __init__(self, config: Config, folder: Path, env: dict[str, str] | None = None) -> None:
        super().__init__(config, folder)
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
    def dashboard_url(self) -> str:
        match = re.search(r"Ray dashboard\s+(http://\S+)", "\n".join(self.output))
        assert match, "\n".join(self.output)
        return match.group(1)

    @property
    def ray_address(self) -> str:
        """Of this cluster's own GCS: another Ray may run on the machine."""
        return self._ray_options("--gcs-address")[0]

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


def _descendants(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()
