from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from cluster.cli import main


@dataclass
class Answer:
    status: int
    body: bytes


@dataclass
class HttpServer:
    """A real server on a loopback port: give it answers by path, and read what it was asked."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    authorization: list[str | None] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.authorization.append(self.headers.get("Authorization"))
            site.request_ids.append(self.headers.get("X-Request-ID"))
            answer = site.answers.get(self.path, Answer(404, b"Path not found"))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Keep the test output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = HttpServer(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_url() -> str:
    """An address of this machine on which nothing listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A folder with the weights and the config of a text generation model of 1,152 parameters."""
    folder = tmp_path / "weights"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 128,
        "max_position_embeddings": 64,
    }
    (folder / "config.json").write_text(json.dumps(config))
    weights = {"embed": np.zeros((128, 8), np.float32), "layer": np.ones((16, 8), np.float32)}
    save_file(weights, folder / "model.safetensors")
    Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    return folder


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: object
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Stowage:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        return Outcome(exited.value.code, captured.out, captured.err)


@pytest.fixture
def stowage(capsys: pytest.CaptureFixture[str]) -> Stowage:
    return Stowage(capsys)


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path) -> Path:
    path = tmp_path / "serve_config.yaml"
    path.write_text(
        f"""\
applications:
  - name: router
    import_path: deployments.app:build_router
  - name: tiny@1
    route_prefix: null
    import_path: deployments.app:build_model
    args: {{model: tiny, source: "file:{tiny_model}", store: "{tmp_path}/store"}}
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """As from a terminal: under nohup, or behind ``&`` in a script, they are ignored, in children too."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
