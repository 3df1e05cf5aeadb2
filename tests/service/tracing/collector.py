"""Collector of traces: a real HTTP server that decodes OTLP requests and stores their spans."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct, field
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PORT_OF_NOBODY = 9
"""Discard protocol: no server of a test machine."""


class ReceivedSpan(Struct, frozen=True):
    """One span. `parent_id` is empty for the first span of a trace."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    is_error: bool
    resource: dict[str, Any]


class Collector(Struct):
    """The received spans. `release` lets requests be answered; it is set at first."""

    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list[ReceivedSpan])
    release: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    status: int = 200

    def named(self, name: str, **attributes: object) -> list[ReceivedSpan]:
        """Return the spans of a name with these attributes, which begin with `waybill.`."""
        expected = {f"waybill.{key}": value for key, value in attributes.items()}.items()
        return [
            span
            for span in list(self.spans)
            if span.name == name and all(span.attributes.get(key) == value for key, value in expected)
        ]


@contextmanager
def running_collector() -> Generator[Collector]:
    """Run a collector on a free port during the block."""
    collector = Collector()
    collector.release.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests += 1
            collector.release.wait(60)
            if self.path == "/v1/traces" and collector.status == 200:
                collector.spans += decode(body)
            self.send_response(collector.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # the longest wait for the end
    thread.start()
    try:
        yield collector
    finally:
        collector.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def decode(body: bytes) -> list[ReceivedSpan]:
    """Decode an OTLP request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        ReceivedSpan(
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _attributes(span.attributes),
            span.status.code == 2,
            _attributes(resource.resource.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
