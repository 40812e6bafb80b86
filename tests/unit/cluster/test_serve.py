from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.child import ChildProcess, Patience, StopSignals
from cluster.config.environment import SERVE_DEFAULTS
from cluster.config.replicas import ReplicaRange
from cluster.config.serve_config import DeployedModel, ServeConfig
from cluster.config.serve_schema import HttpAddress
from cluster.environment import serve_environment
from cluster.first_call import first_call
from cluster.live.readiness import POLL_ID
from cluster.port import require_free_port
from cluster.serve import PollPeriods, ServeSession
from cluster.serve_output import ServeOutput, serve_command
from deployments.args import ModelArgs
from models.errors import ConfigError, StowageError
from models.manifest import Manifest, TokenizerFacts
from models.types import Task, WeightFormat
from tests.unit.cluster.conftest import HttpServer

CLUSTER = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    polls = 0
    def do_GET(self):
        Handler.polls += 1
        up = Handler.polls > 1
        models = [
            {"model": "m", "version": "1", "ready": up, "status": "ready" if up else "starting", "reason": None},
            {"model": "m", "version": "2", "ready": False, "status": "failed", "reason": "broken weights"},
        ]
        body = json.dumps({"ready": False, "models": models}).encode()
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if Handler.polls == CTRL_C_AFTER:
            os.kill(os.getppid(), signal.SIGINT)
    def log_message(self, *args):
        print(f"INFO {self.headers['X-Request-ID']} -- GET / 503 1.0ms", flush=True)

print("View the dashboard at \\x1b[1m\\x1b[32mhttp://127.0.0.1:1 \\x1b[39m", flush=True)
try:
    HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
except KeyboardInterrupt:
    print("cluster is down", flush=True)
"""
QUICK = PollPeriods(starting_s=0.05, settled_s=0.05)


def cluster_program(port: int, ctrl_c_after: int = 0) -> str:
    """Stands in for `serve run`: one model comes up, one fails. May press Ctrl-C on its parent at a poll."""
    return CLUSTER.replace("PORT", str(port)).replace("CTRL_C_AFTER", str(ctrl_c_after))


def manifest(version: str = "1", task: Task = Task.GENERATE, *, chat: bool = True) -> Manifest:
    return Manifest(
        name="m",
        version=version,
        source="file:/m",
        format=WeightFormat.SAFETENSORS,
        task=task,
        files=(),
        dtype="float32",
        num_parameters=1,
        weight_bytes=4,
        tokenizer=TokenizerFacts(has_chat_template=chat),
        created=datetime.now(UTC),
    )


def session(port: int, child: ChildProcess, output: ServeOutput) -> ServeSession:
    models = tuple(
        DeployedModel(("applications", number), ModelArgs(model="m", version=str(number)), ReplicaRange(1, 1))
        for number in (1, 2)
    )
    config = ServeConfig(HttpAddress("127.0.0.1", port, secure=False), "router", models, grpc_port=9001)
    return ServeSession(config, [manifest("1"), manifest("2")], child, output)


def test_a_session_tells_what_changes_then_the_urls_and_ends_on_ctrl_c(
    closed_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = int(closed_url.rpartition(":")[2])
    shown: list[str] = []
    output = ServeOutput(shown.append, everything=True)
    with StopSignals() as signals:
        child = ChildProcess([sys.executable, "-c", cluster_program(port, 4)], os.environ, output.line)
        session(port, child, output).watch(signals, QUICK)
        child.stop(Patience())
    out, err = capsys.readouterr()
    assert out.splitlines()[:4] == ["router: ready", "m@1: loading", "m@2: failed: broken weights", "m@1: ready"]
    assert "Ready: router, m@1." in out
    assert "Failed: m@2. The others serve." in err
    assert "The same over gRPC       127.0.0.1:9001" in out
    assert out.count("Ray dashboard            http://127.0.0.1:1") == 1
    assert f"curl -s {closed_url}/v1/chat/completions" in out
    assert (child.exit_code(), len(shown), shown[-1]) == (0, 2, "cluster is down")


def test_a_cluster_that_ends_by_itself_is_an_error_with_its_last_words(closed_url: str) -> None:
    output = ServeOutput(lambda _: None)
    program = "import sys; print('the cause'); sys.exit(7)"
    with StopSignals() as signals:
        child = ChildProcess([sys.executable, "-c", program], os.environ, output.line)
        with pytest.raises(StowageError, match="exit code 7") as caught:
            session(int(closed_url.rpartition(":")[2]), child, output).watch(signals, QUICK)
    assert str(caught.value).endswith("\nthe cause")


def test_the_command_from_file_to_clean_end(tmp_path: Path, tiny_model: Path, closed_url: str) -> None:
    port = int(closed_url.rpartition(":")[2])
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "serve").write_text(f"#!{sys.executable}\n{cluster_program(port)}", encoding="utf-8")
    (tmp_path / "serve").chmod(0o755)
    models = "".join(
        f"  - {{name: m@{version}, route_prefix: null, import_path: deployments.app:build_model, args: "
        f"{{model: m, version: {version}, source: 'file:{tiny_model}', store: {tmp_path}/store}}}}\n"
        for version in (1, 2)
    )
    (tmp_path / "c.yaml").write_text(
        f"http_options: {{host: 127.0.0.1, port: {port}}}\n"
        f"applications:\n  - {{name: router, import_path: deployments.app:build_router}}\n{models}",
        encoding="utf-8",
    )
    command = [
        str(tmp_path / "python"),
        *("-c", "from cluster.cli import main; main()"),
        *("serve", str(tmp_path / "c.yaml")),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        out = "".join(iter(run.stdout.readline, "Ctrl-C stops the cluster.\n"))
        run.terminate()
        out += run.stdout.read()
        err = run.stderr.read()
    assert run.returncode == 0
    assert "curl -s" in out
    assert out.endswith("Stopping the cluster ...\nStopped.\n")
    assert "importing m@1" in err
    assert err.endswith("cluster is down\n")


def test_a_port_that_is_taken_is_named(http_server: HttpServer) -> None:
    port = int(http_server.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use"):
        require_free_port("127.0.0.1", port)


def test_the_field_to_change_is_named(http_server: HttpServer) -> None:
    port = int(http_server.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port} of 0.0.0.0 is in use.*change grpc_options"):
        require_free_port("0.0.0.0", port, "grpc_options")


def test_a_port_that_is_free_can_be_taken_afterwards(closed_url: str) -> None:
    port = int(closed_url.rpartition(":")[2])
    require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)


def test_a_host_that_is_not_this_machine_s_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        require_free_port("192.0.2.1", 8000)


def test_the_operator_s_environment_goes_before_the_defaults() -> None:
    own = {"OMP_NUM_THREADS": "4", "HOME": "/h"}
    assert serve_environment(own) == {
        **SERVE_DEFAULTS,
        "OMP_NUM_THREADS": "4",
        "HOME": "/h",
        "RAY_ADDRESS": "local",
    }


def test_the_proxies_are_told_the_router_s_name() -> None:
    assert serve_environment({}, "door")["STOWAGE_ROUTERS"] == "door"
    assert serve_environment({"STOWAGE_ROUTERS": "other"}, "door")["STOWAGE_ROUTERS"] == "other"


def test_serve_run_is_that_of_the_same_python(tmp_path: Path) -> None:
    assert serve_command(Path("c.yaml")) == [str(Path(sys.executable).parent / "serve"), "run", "c.yaml"]
    with pytest.raises(StowageError, match="does not exist"):
        serve_command(Path("c.yaml"), tmp_path / "python")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (manifest(), "/v1/chat/completions"),
        (manifest(chat=False), "/v1/completions"),
        (manifest(task=Task.EMBED), "/v1/embeddings"),
        (manifest(task=Task.INFER), "/v2/models/m/versions/1"),
    ],
)
def test_the_first_call_fits_the_task(model: Manifest, path: str) -> None:
    call = first_call(model, "http://h:1")
    assert call.startswith(f"curl -s http://h:1{path}")
    assert "m@1" in call or model.task is Task.INFER
    assert ('"temperature": 0' in call) == (model.task is Task.GENERATE)
    with_key = first_call(model, "http://h:1", with_key=True)
    assert with_key == call.replace("curl -s", 'curl -s -H "Authorization: Bearer $STOWAGE_API_KEY"')


@pytest.mark.parametrize(
    ("host", "secure", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:80"),
        ("0.0.0.0", False, "http://127.0.0.1:80"),
        ("::", True, "https://[::1]:80"),
        ("models.example", True, "https://models.example:80"),
    ],
)
def test_the_url_of_every_interface_is_the_loopback_s(host: str, secure: bool, url: str) -> None:
    assert HttpAddress(host, 80, secure).base_url == url


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "(ServeController pid=7) INFO 2026-11-22 07:07:39,917 controller 7 -- Deploying.",
            False,
        ),
        ("\x1b[36m(ServeReplica:m@1:Model pid=7)\x1b[0m ", False),
        ("2026-11-22 07:07:34,183\tINFO scripts.py:489 -- Running config file: 'serve_config.yaml'.", False),
        ("(ServeReplica:m@1:Model pid=7) Loading weights: 100%|####| 103/103 [00:00<00:00]", False),
        ("(ServeController pid=7) ERROR 2026-11-22 07:07:39,917 controller 7 -- Deploying app failed:", True),
        ("(ServeController pid=7) Traceback (most recent call last):", True),
        ("(raylet) Task failed.", True),
    ],
)
def test_only_warnings_and_errors_are_shown_unless_everything_is_asked_for(line: str, shown: bool) -> None:
    seen: list[str] = []
    ServeOutput(seen.append).line(line)
    assert seen == ([line] if shown else [])
    ServeOutput(seen.append, everything=True).line(line)
    assert seen[-1] == line


def test_only_own_polls_are_hidden_when_everything_is_asked_for() -> None:
    lines = [
        f"(ProxyActor pid=7) INFO 2026-11-22 07:07:39,917 proxy 127.0.0.1 {request_id} -- GET / 503 1.0ms"
        for request_id in (POLL_ID, "0f9a")
    ]
    seen: list[str] = []
    for line in lines:
        ServeOutput(seen.append, everything=True).line(line)
    assert seen == lines[1:]
