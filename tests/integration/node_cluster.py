"""A cluster of several nodes on this machine: Ray's own autoscaler adds and removes them, and its GCS keeps its
tables in Redis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from cluster.config.environment import SERVE_DEFAULTS
from tests.integration.cluster import ROOT, free_port
from tests.integration.commands import run_command
from tests.integration.machine_provider import HEAD, HEAD_TAGS, HEAD_TYPE, MachineProvider
from tests.integration.machines import Machines
from tests.integration.redis_server import RedisServer
from tests.integration.served import Config, Served

WORKER_TYPE = "worker"
NUM_WORKERS = 2
_UNUSED_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
_HEAD_IP = "127.0.0.2"  # Ray takes 127.0.0.1 for an address that others need not reach, and looks for another


class NodeCluster(Served):
    """A head without models, and at least two workers. ``worker``: the resources of one."""

    def __init__(self, config: Config, folder: Path, redis: RedisServer, worker: dict[str, float]) -> None:
        super().__init__(config, folder)
        (folder / "machines").mkdir()
        self.machines = Machines(folder / "machines")
        self._redis = redis
        self._port = free_port()
        self._dashboard_port = free_port()
        (folder / "cluster.yaml").write_text(yaml.safe_dump(self._autoscaling(worker)))

    @property
    def ray_address(self) -> str:
        return f"{_HEAD_IP}:{self._port}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self._dashboard_port}"

    def start_head(self) -> None:
        """The first time, or again after a crash, with the same address and the same Redis."""
        run_command("ray", "get-auth-token", "--generate")
        # Beside the other machines' processes, Ray would take this for the sign of a head that still runs.
        (self.folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        options = {
            "port": self._port,
            "node-ip-address": _HEAD_IP,
            "dashboard-port": self._dashboard_port,
            "dashboard-agent-listen-port": 0,
            "redis-password": self._redis.password,
            "num-cpus": 0,
            "memory": 1024**3,
            "object-store-memory": 80 * 1024**2,
            "autoscaling-config": self.folder / "cluster.yaml",
        }
        arguments = ["--head", *(f"--{name}={value}" for name, value in options.items())]
        started = self.machines.start(HEAD, HEAD_TAGS, arguments, self._environment())
        code = started.wait(timeout=120)
        assert code == 0, self.machines.log(HEAD)

    def nodes(self) -> list[dict[str, Any]]:
        """Those that are alive."""
        return [node for node in self.ray_state("nodes") if node["state"] == "ALIVE"]

    def stop(self) -> None:
        for name in self.machines.names():
            self.machines.remove(name)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **SERVE_DEFAULTS,
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_REDIS_ADDRESS": self._redis.address,
            "RAY_external_storage_namespace": "stowage-test",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_TMPDIR": str(self.folder),
            "RAY_NODE_TYPE_NAME": HEAD_TYPE,
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_SERVE_LOG_TO_STDERR": "0",
        }

    def _autoscaling(self, worker: dict[str, float]) -> Config:
        provider = {
            "type": "external",
            "module": f"{MachineProvider.__module__}.{MachineProvider.__name__}",
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "folder": str(self.folder / "machines"),
            "address": self.ray_address,
        }
        head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
        workers = {
            "resources": worker,
            "node_config": {},
            "min_workers": NUM_WORKERS,
            "max_workers": NUM_WORKERS + 1,
        }
        return {
            "cluster_name": "stowage-test",
            "provider": provider,
            "max_workers": NUM_WORKERS + 1,
            "idle_timeout_minutes": 0.1,
            "head_node_type": HEAD_TYPE,
            "available_node_types": {HEAD_TYPE: head, WORKER_TYPE: workers},
            **{name: [] for name in _UNUSED_COMMANDS},
            "file_mounts": {},
            "cluster_synced_files": [],
            "file_mounts_sync_continuously": False,
        }
