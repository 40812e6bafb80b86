"""Traces of a real cluster, as a collector gets them: OTLP over HTTP, decoded from its protobuf."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.integration.cluster import Cluster, eventually
from tests.integration.routers import MODEL, Books, two_routers
from tests.integration.traffic import PROMPTS

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PLACES = ("proxy", "route_to_replica Router", "replica_handle_request Router",
          "route_to_replica Model", "replica_handle_request Model")  # fmt: skip


class Collector(ThreadingHTTPServer):
    """Keeps every span that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = resource.resource.attributes
            self.services |= {each.value.string_value for each in attributes if each.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.take(self.rfile.read(int(self.headers["content-length"])))
        body = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        """What was sent is seen in what is kept."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    folder = tmp_path_factory.mktemp("tracing")
    return Books(f"sqlite:///{folder / 'state.db'}", folder / "audit")


@pytest.fixture(scope="module")
def key(books: Books) -> str:
    return books.create_key("ann", "--tenant", "acme")


@pytest.fixture(scope="module")
def running(
    collector: Collector, books: Books, key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    env = {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": "deployments.tracing:exporter",
        "RAY_SERVE_TRACING_SAMPLING_RATIO": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "stowage-test",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    cluster = Cluster(two_routers(folder, books, num_models=1), folder, env)
    try:
        cluster.wait_until_announced(timeout_s=240)
        yield cluster
    finally:
        cluster.interrupt()


def ask(
    cluster: Cluster,
    key: str,
    request_id: str,
    model: str = MODEL,
    stream: bool = False,
    traceparent: str | None = None,
) -> httpx.Response:
    return httpx.post(
        f"{cluster.base_url}/v1/completions",
        json={"model": model, "prompt": PROMPTS[0], "max_tokens": 4, "temperature": 0, "stream": stream},
        headers={
            "authorization": f"Bearer {key}",
            "x-request-id": request_id,
            **({"traceparent": traceparent} if traceparent else {}),
        },
        timeout=60,
    )


def whole_trace(collector: Collector, trace_id: str) -> dict[str, Span]:
    """Its spans by where they were made, once all are there."""

    def found() -> dict[str, Span] | None:
        spans = {
            place: span for place in PLACES for span in collector.trace(trace_id) if span.name.startswith(place)
        }
        return spans if spans.keys() == set(PLACES) else None

    return eventually(found, 20, f"all spans of {trace_id}: {[each.name for each in collector.spans]}")


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes if each.key.startswith("stowage.")}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_clients_trace_goes_on_through_proxy_router_and_model(
    running: Cluster, collector: Collector, books: Books, key: str, stream: bool
) -> None:
    trace_id = f"{TRACE[:-1]}{int(stream)}"
    request_id = f"traced-{stream}"
    traceparent = f"00-{trace_id}-{PARENT}-01"
    reply = ask(running, key, request_id, stream=stream, traceparent=traceparent)
    assert reply.status_code == 200
    spans = whole_trace(collector, trace_id)
    parents = [PARENT, *(spans[place].span_id.hex() for place in PLACES[:-1])]
    assert [spans[place].parent_span_id.hex() for place in PLACES] == parents
    (record,) = (record for record in books.records() if record.id == request_id)
    assert record.trace_id == trace_id
    assert attributes(spans["replica_handle_request Router"]) == {
        "stowage.model": MODEL,
        "stowage.version": "1",
        "stowage.tenant": "acme",
        "stowage.operation": "generate",
        "stowage.outcome": "ok",
    }
    assert collector.services == {"stowage-test"}


def test_without_a_clients_trace_the_audit_log_names_serves_own(
    running: Cluster, collector: Collector, books: Books, key: str
) -> None:
    assert ask(running, key, "untraced").status_code == 200
    (record,) = (record for record in books.records() if record.id == "untraced")
    assert record.trace_id is not None
    spans = whole_trace(collector, record.trace_id)
    assert spans["proxy"].parent_span_id == b""


def test_a_failure_is_told_by_its_code(running: Cluster, collector: Collector, books: Books, key: str) -> None:
    assert ask(running, key, "failed", model="nothing").status_code == 404
    (record,) = (record for record in books.records() if record.id == "failed")
    assert record.trace_id is not None

    def told() -> dict[str, str] | None:
        spans = collector.trace(record.trace_id or "")
        found = [attributes(span) for span in spans if span.name.startswith("replica_handle_request Router")]
        return found[0] if found else None

    found = eventually(told, 20, "the router's span")
    assert (found["stowage.outcome"], found["stowage.error"]) == ("refused", "model_not_found")


def test_no_span_holds_a_key_or_a_prompt(running: Cluster, collector: Collector, key: str) -> None:
    text = "the weather in the harbour"
    body = {"model": MODEL, "prompt": text, "max_tokens": 2}
    trace_id = f"{TRACE[:-1]}7"
    headers = {"authorization": f"Bearer {key}", "traceparent": f"00-{trace_id}-{PARENT}-01"}
    httpx.post(f"{running.base_url}/v1/completions", json=body, headers=headers, timeout=60)
    whole_trace(collector, trace_id)
    sent = b"".join(span.SerializeToString() for span in collector.spans)
    for secret in (key, key.rpartition("-")[2], text, json.dumps(PROMPTS[0])):
        assert secret.encode() not in sent


def test_a_collector_that_is_gone_holds_nobody_up(running: Cluster, collector: Collector, key: str) -> None:
    """The last test: its spans are lost."""
    collector.shutdown()
    collector.server_close()
    began = time.monotonic()
    assert all(ask(running, key, "last").status_code == 200 for _ in range(20))
    assert time.monotonic() - began < 10
