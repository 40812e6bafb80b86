"""huggingface_hub itself against a server on a loopback port that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.errors import SourceError
from models.hub import HubSource
from models.progress import NoProgress
from models.weight_source import SourceFile

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"w" * 100_000,
    "pytorch_model.bin": b"pickle",
    "gguf/a.gguf": b"GGUF",
}
LARGE = ("model.safetensors", "pytorch_model.bin")


def _blob(name: str) -> dict[str, object]:
    content = FILES[name]
    entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
    if name in LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
    return entry


class Hub(BaseHTTPRequestHandler):
    """Answers for org/name: the model's description, and its files with the headers that the hub sends."""

    protocol_version = "HTTP/1.1"
    downloads: list[str]

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/org/gated"):
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif self.path.startswith("/api/models/org/name/revision/nope"):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif self.path.startswith("/api/models/org/name"):
            info = {"id": "org/name", "sha": COMMIT, "siblings": [_blob(name) for name in FILES]}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        elif self.path.startswith(f"/org/name/resolve/{COMMIT}/"):
            name = self.path.split(f"/resolve/{COMMIT}/")[1].partition("?")[0]
            if self.command == "GET":
                self.downloads.append(name)
            etag = hashlib.sha256(FILES[name]).hexdigest()
            self._send(200, FILES[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep the test output quiet."""


@pytest.fixture
def downloads() -> list[str]:
    return []


@pytest.fixture
def endpoint(downloads: list[str]) -> Iterator[str]:
    handler = type("Handler", (Hub,), {"downloads": downloads})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_revision_is_resolved_and_files_come_with_their_hashes(endpoint: str) -> None:
    contents = HubSource("org/name", revision="main", endpoint=endpoint).contents()
    assert contents.revision == COMMIT
    weights = SourceFile("model.safetensors", 100_000, hashlib.sha256(b"w" * 100_000).hexdigest())
    assert weights in contents.files
    assert [file.name for file in contents.files] == list(FILES)


def test_only_the_wanted_files_are_downloaded(endpoint: str, downloads: list[str], tmp_path: Path) -> None:
    source = HubSource("org/name", endpoint=endpoint)
    contents = source.contents()
    wanted = [file for file in contents.files if file.name in {"config.json", "model.safetensors"}]
    root = source.fetch(contents, wanted, tmp_path / "scratch", NoProgress())
    assert (root / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert (root / "config.json").read_bytes() == FILES["config.json"]
    assert sorted(downloads) == ["config.json", "model.safetensors"]


def test_bytes_are_reported(endpoint: str, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []

    class Recorded(NoProgress):
        def advance(self, done_bytes: int, total_bytes: int) -> None:
            reports.append((done_bytes, total_bytes))

    source = HubSource("org/name", inner="model.safetensors", endpoint=endpoint)
    contents = source.contents()
    source.fetch(contents, contents.files, tmp_path, Recorded())
    assert reports[-1] == (100_000, 100_000)


@pytest.mark.parametrize("inner", ["gguf", "gguf/a.gguf"])
def test_a_folder_or_file_inside_the_repository(endpoint: str, tmp_path: Path, inner: str) -> None:
    source = HubSource("org/name", inner=inner, endpoint=endpoint)
    contents = source.contents()
    assert [file.name for file in contents.files] == ["a.gguf"]
    root = source.fetch(contents, contents.files, tmp_path, NoProgress())
    assert (root / "a.gguf").read_bytes() == b"GGUF"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HubSource("org/absent"), "hf:org/absent: no such repository, or it is private"),
        (HubSource("org/gated"), "hf:org/gated: the repository is gated"),
        (HubSource("org/name", revision="nope"), "hf:org/name@nope: no such revision"),
        (HubSource("org/na--me"), "hf:org/na--me: no such repository"),
        (HubSource("org/name", inner="no.gguf"), "hf:org/name/no.gguf does not exist .*model.safetensors"),
    ],
)
def test_what_is_not_there_is_explained(endpoint: str, source: HubSource, message: str) -> None:
    here = HubSource(source.repo, source.inner, source.revision, endpoint)
    with pytest.raises(SourceError, match=message):
        here.contents()


def test_a_hub_that_cannot_be_reached_is_explained() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        closed = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(SourceError, match="the hub cannot be reached") as caught:
        HubSource("org/name", endpoint=closed).contents()
    assert "use file:" in str(caught.value)
