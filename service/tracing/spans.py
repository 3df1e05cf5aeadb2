"""Spans: start one around a piece of work. Without a tracer nothing is recorded, and OpenTelemetry is not imported."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

from msgspec import Struct

from service.errors import Deferred, WaybillError

SpanKind = Literal["server", "consumer", "client", "producer", "internal"]
Attribute = str | int | float | bool | Sequence[str] | None
Attributes = Mapping[str, Attribute]
"""Attributes of a span. None is left out."""


class Span:
    """Span of a piece of work, current until it ends. This class is the span without a tracer: it does nothing."""

    traceparent: str | None = None
    """Context of the span (W3C Trace Context) for events and outgoing calls."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, error_kind: str) -> None:
        """Mark the work as failed."""

    def set_error(self, error: BaseException | None) -> None:
        """Mark the work as failed by `error`, unless it was only deferred."""
        if error is not None and not isinstance(error, Deferred):
            self.fail(error.kind if isinstance(error, WaybillError) else type(error).__name__)

    def end(self) -> None:
        """End the span, in the task that started it. Later calls do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        self.set_error(error)
        self.end()


class Tracer(Protocol):
    """Starts spans. `parent` is a traceparent, by default that of the current span."""

    def start_span(self, name: str, kind: SpanKind, parent: str | None, age_ms: float, attributes: Attributes) -> Span:
        """Start a span, and make it the current one."""
        ...

    def current_traceparent(self) -> str | None:
        """Return the context of the current span, recorded or not."""
        ...

    def current_ids(self) -> tuple[str, str] | None:
        """Return trace id and span id of the current span if it is recorded."""
        ...


class _Active(Struct):
    tracer: Tracer | None = None


_active = _Active()
NO_SPAN = Span()


def use_tracer(tracer: Tracer | None) -> None:
    """Send the spans of this process to `tracer`. None turns traces off."""
    _active.tracer = tracer


def is_tracing() -> bool:
    """Return whether spans are sent. Without a tracer, attributes need not be collected."""
    return _active.tracer is not None


def start_span(
    name: str,
    kind: SpanKind = "internal",
    *,
    parent: str | None = None,
    age_ms: float = 0.0,
    attributes: Attributes | None = None,
) -> Span:
    """Start a span that began `age_ms` ago, and make it the current one.

    Args:
        name: The name of the work, without ids.
        kind: The kind of OpenTelemetry.
        parent: The traceparent of the span that caused this one. By default the current span.
        age_ms: The time since the work began.
        attributes: The first attributes.

    Returns:
        The span. Without a tracer, the one that does nothing.
    """
    tracer = _active.tracer
    return NO_SPAN if tracer is None else tracer.start_span(name, kind, parent, age_ms, attributes or {})


def current_traceparent(otherwise: str | None) -> str | None:
    """Return the traceparent of the current span. Without one, return `otherwise`."""
    tracer = _active.tracer
    return otherwise if tracer is None else tracer.current_traceparent() or otherwise


def current_ids() -> tuple[str, str] | None:
    """Return trace id and span id of the current span, for a log line. None if there is no recorded span."""
    tracer = _active.tracer
    return None if tracer is None else tracer.current_ids()
