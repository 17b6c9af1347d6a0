"""OpenTelemetry traces over OTLP, when an endpoint is configured. Spans carry method, code and stage, never content.

The interceptors of opentelemetry-instrumentation-grpc do not propagate cancellation from an aio client, and leave the
status of failed server spans unset, so our own stage and call helper make the spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

MAX_QUEUED_SPANS: Final = 2048
EXPORT_TIMEOUT_MS: Final = 2000

_propagator: Final = TraceContextTextMapPropagator()
_provider: list[TracerProvider] = []


def configure_tracing(*, service: str, region: str, endpoint: str, insecure: bool) -> None:
    """Start exporting spans to an OTLP/gRPC collector; a collector that is away costs dropped spans, never calls."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"trunkline-{service}", "cloud.region": region})
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=EXPORT_TIMEOUT_MS // 1000)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=MAX_QUEUED_SPANS, export_timeout_millis=EXPORT_TIMEOUT_MS)
    )
    _provider[:] = [provider]


def tracer() -> trace.Tracer | None:
    """Return the tracer, or None when tracing is off."""
    return _provider[0].get_tracer("trunkline") if _provider else None


def shutdown_tracing() -> None:
    """Export what is queued and stop. Blocks for at most the export timeout."""
    while _provider:
        _provider.pop().shutdown()


def context_from(metadata: Sequence[tuple[str, str | bytes]]) -> object:
    """Return the trace context that a caller sent."""
    carrier = {key: value for key, value in metadata if key in ("traceparent", "tracestate") and isinstance(value, str)}
    return _propagator.extract(carrier)


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries the current span to the next hop; empty when tracing is off."""
    if not _provider:
        return ()
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return tuple(carrier.items())
