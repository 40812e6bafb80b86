"""What the router adds to Serve's spans. Whole traces are in tests/integration/test_tracing.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deployments.audit.record import Outcome
from deployments.tracing import describe, exporter, trace_id
from models.errors import ConfigError
from tests.unit.deployments.state.journals import request

TRACE = "0af7651916cd43dd8448eb211c80319c"
RECORD = request(key="ab12cd34", text="[['a prompt', 'an answer']]")


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(kept: InMemorySpanExporter) -> Iterator[trace.Tracer]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    yield provider.get_tracer("test")
    provider.shutdown()


def the_span(kept: InMemorySpanExporter) -> ReadableSpan:
    (span,) = kept.get_finished_spans()
    return span


def test_the_span_says_what_became_of_the_call(tracer: trace.Tracer, kept: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("replica_handle_request"):
        describe(replace(RECORD, outcome=Outcome.FAILED, error="deadline_exceeded"))
    assert the_span(kept).attributes == {
        "stowage.model": "smol",
        "stowage.version": "1",
        "stowage.tenant": "acme",
        "stowage.operation": "generate",
        "stowage.outcome": "failed",
        "stowage.error": "deadline_exceeded",
    }


def test_a_shadow_tells_the_span_of_its_original_nothing(tracer: trace.Tracer, kept: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("replica_handle_request"):
        describe(replace(RECORD, shadow_of="1"))
    assert not the_span(kept).attributes


def test_a_span_that_has_ended_is_left_alone(
    tracer: trace.Tracer, kept: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    span = tracer.start_span("replica_handle_request")
    span.end()
    with trace.use_span(span):
        describe(RECORD)
    assert not the_span(kept).attributes
    assert caplog.records == []


def test_without_tracing_nothing_is_told() -> None:
    describe(RECORD)
    assert trace_id({}) is None


def test_serves_own_trace_comes_before_what_the_caller_says(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("replica_handle_request") as span:
        own = trace.format_trace_id(span.get_span_context().trace_id)
        assert trace_id({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}) == own
        assert trace_id({}) == own


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-00", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-later", TRACE),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE[:-1]}x-b7ad6b7169203331-01", None),
        ("nonsense", None),
    ],
    ids=["sampled", "not sampled", "a later version", "zeros", "no hex", "nonsense"],
)
def test_a_callers_trace_is_taken_when_it_is_one(header: str, found: str | None) -> None:
    assert trace_id({"traceparent": header}) == found


def test_spans_are_sent_in_batches() -> None:
    processors = exporter()
    assert [type(each) for each in processors] == [BatchSpanProcessor]
    for each in processors:
        each.shutdown()


def test_without_the_package_the_cause_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"switched on, and opentelemetry.* \(install the extra `tracing`\)"):
        exporter()
