"""A server on a loopback port that speaks the hub's protocol for the repository org/name."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".safetensors", ".bin", ".gguf", ".onnx")


@dataclass
class HubServer:
    """``downloads`` are the files that were sent whole, ``ranges`` the bytes of files that were sent in part."""

    endpoint: str = ""
    downloads: list[str] = field(default_factory=list)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)


@contextmanager
def serve_hub(files: Mapping[str, bytes], *, knows_ranges: bool = True) -> Iterator[HubServer]:
    """org/name holds ``files``; org/gated is gated, and there is nothing else."""
    hub = HubServer()
    attributes = {"hub": hub, "files": files, "knows_ranges": knows_ranges}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), attributes)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers with the model's description, and its files with the headers that the hub sends."""

    protocol_version = "HTTP/1.1"
    hub: HubServer
    files: Mapping[str, bytes]
    knows_ranges: bool

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/org/gated"):
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif self.path.startswith("/api/models/org/name/revision/nope"):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif self.path.startswith("/api/models/org/name"):
            info = {"id": "org/name", "sha": COMMIT, "siblings": [self._blob(name) for name in self.files]}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        elif self.path.startswith(f"/org/name/resolve/{COMMIT}/"):
            self._send_file(self.path.split(f"/resolve/{COMMIT}/")[1].partition("?")[0])
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _blob(self, name: str) -> dict[str, object]:
        content = self.files[name]
        entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
        if name.endswith(_LARGE):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
        return entry

    def _send_file(self, name: str) -> None:
        content = self.files[name]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        span = self.headers["range"]
        if span is not None and self.knows_ranges:
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            self.hub.ranges.append((name, first, last + 1))
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._send(206, content[first : last + 1], headers)
            return
        if self.command == "GET":
            self.hub.downloads.append(name)
        self._send(200, content, headers)

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
