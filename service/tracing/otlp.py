"""Tracer of OpenTelemetry. A thread exports batches of spans by OTLP over HTTP, so that no event waits for a collector.

The variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_MAX_QUEUE_SIZE`) apply.
Spans are lost, and counted in `waybill_spans_total`, if the queue is full or an export fails.
"""

import socket
import threading
import time
from collections.abc import Sequence
from contextvars import Token
from importlib.metadata import version

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.metrics.families import SPANS
from service.metrics.instruments import read_trace_id_by
from service.tracing.spans import Attributes, Span, SpanKind, use_tracer

FLUSH_SECONDS_MAX = 3.0
"""Longest wait for the export of the last spans when a process ends."""

_KINDS = {
    "server": trace.SpanKind.SERVER,
    "consumer": trace.SpanKind.CONSUMER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "internal": trace.SpanKind.INTERNAL,
}
_propagator = TraceContextTextMapPropagator()


class SpanSender:
    """Sends the spans of this process during the block, then exports the last ones.

    Raises:
        ValueError: a variable of OpenTelemetry is not valid.
    """

    def __init__(self, component: str) -> None:
        self._provider = TracerProvider(resource=_resource(component), shutdown_on_exit=False)
        self._provider.add_span_processor(_CountingProcessor(_CountingExporter()))

    def __enter__(self) -> None:
        tracer = OtlpTracer(self._provider)
        use_tracer(tracer)
        read_trace_id_by(tracer.current_trace_id)

    def __exit__(self, *_error: object) -> None:
        read_trace_id_by(None)
        use_tracer(None)
        # In a daemon thread: a collector that does not answer must not delay the end of the process.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS_MAX)


def _resource(component: str) -> Resource:
    """Return the resource of the spans. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES replace its attributes."""
    own = {
        "service.name": f"waybill-{component}",
        "service.version": version("waybill"),
        "service.instance.id": socket.gethostname(),
    }
    named = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in own.items() if name not in named})


class OtlpTracer:
    """Tracer of `service.tracing.spans`."""

    def __init__(self, spans: TracerProvider) -> None:
        self._tracer = spans.get_tracer("waybill")

    def start_span(self, name: str, kind: SpanKind, parent: str | None, age_ms: float, attributes: Attributes) -> Span:
        """Start a span, and make it the current one."""
        context = _propagator.extract({"traceparent": parent}, Context()) if parent else None
        began_ns = time.time_ns() - int(age_ms * 1_000_000)
        return _OtlpSpan(
            self._tracer.start_span(name, context, _KINDS[kind], _present(attributes), start_time=began_ns)
        )

    def current_traceparent(self) -> str | None:
        """Return the context of the current span, recorded or not."""
        return _traceparent(trace.get_current_span().get_span_context())

    def current_ids(self) -> tuple[str, str] | None:
        """Return the ids of the current span if it is recorded."""
        span = trace.get_current_span()
        if not span.is_recording():
            return None
        context = span.get_span_context()
        return f"{context.trace_id:032x}", f"{context.span_id:016x}"

    def current_trace_id(self) -> str | None:
        """Return the trace id of the current span if it is recorded."""
        ids = self.current_ids()
        return ids[0] if ids else None


class _OtlpSpan(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[Context] | None = contexts.attach(trace.set_span_in_context(span))
        self.traceparent = _traceparent(span.get_span_context())

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(_present(attributes))

    def fail(self, error_kind: str) -> None:
        self._span.set_attribute("error.type", error_kind)
        self._span.set_status(Status(StatusCode.ERROR, error_kind))

    def end(self) -> None:
        if self._token is not None:
            contexts.detach(self._token)
            self._token = None
            self._span.end()


def _traceparent(context: trace.SpanContext) -> str | None:
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _present(attributes: Attributes) -> dict[str, str | int | float | bool | Sequence[str]]:
    return {name: value for name, value in attributes.items() if value is not None}


class _CountingExporter(SpanExporter):
    """OTLP exporter that counts the spans of each result."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self.taken += len(spans)
            SPANS.inc(("exported" if result is SpanExportResult.SUCCESS else "failed",), len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _CountingProcessor(BatchSpanProcessor):
    """Batch processor that drops the newest span if its queue is full, and counts it.

    The queue includes the batch that is being exported. Each number is written by one thread only.
    """

    def __init__(self, exporter: _CountingExporter) -> None:
        super().__init__(exporter)
        self._counts = exporter
        self._queued = 0
        self._queue_max = self._default_max_queue_size()
        for outcome in ("exported", "failed", "dropped"):  # now: the thread must add no key during a scrape
            SPANS.inc((outcome,), 0)

    def on_end(self, span: ReadableSpan) -> None:
        if self._queued - self._counts.taken >= self._queue_max:
            SPANS.inc(("dropped",))
            return
        self._queued += 1
        super().on_end(span)
