"""OpenTelemetry: where Serve's spans go, and what the router adds to its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from deployments.audit.record import RequestRecord
from models.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_W3C = TraceContextTextMapPropagator()


def exporter() -> list[SpanProcessor]:
    """Sends spans in batches to OTEL_EXPORTER_OTLP_ENDPOINT, as OTLP over HTTP; requests never wait for it.

    For RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH, which names it as ``deployments.tracing:exporter``. ConfigError
    where the exporter's package is not installed.
    """
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  only who traces waits for them

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"tracing to an OTLP collector is switched on, and {error.name} is not installed",
            remedy="install the extra `tracing`",
        ) from error
    return [BatchSpanProcessor(OTLPSpanExporter())]


def trace_id(attributes: Mapping[str, str]) -> str | None:
    """The trace of the call under way, 32 hex digits: Serve's if it traces the call, else the caller's.

    ``attributes`` as in Call. None where there is neither, and for a malformed ``traceparent``.
    """
    context = trace.get_current_span().get_span_context()
    if not context.is_valid and "traceparent" in attributes:
        context = trace.get_current_span(_W3C.extract(attributes)).get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def describe(record: RequestRecord) -> None:
    """Tell the router's span what became of the call; nothing where Serve does not trace it.

    A shadow copy runs in the span of its original, which says nothing of it.
    """
    span = trace.get_current_span()
    if not span.is_recording() or record.shadow_of is not None:
        return
    told = {
        "model": record.model,
        "version": record.version,
        "tenant": record.tenant,
        "operation": record.operation,
        "outcome": record.outcome.value,
        "error": record.error,
    }
    span.set_attributes({f"stowage.{name}": value for name, value in told.items() if value is not None})
