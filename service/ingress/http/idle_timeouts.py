"""Idle timeouts of connections: next request, head, body, and a client that does not read the response.

One check per second covers all connections of a port. `service.shared_timeouts` limits the body of a delivery
more exactly; these timeouts limit everything else. A client that does not read keeps its request in flight.
"""

from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from service.ingress.http.connection_limits import LimitedConnection

KEEP_ALIVE_SECONDS = 75.0
"""Longer than the usual idle timeout of load balancers (60 s), so that the server does not close first."""


class ConnectionTimeouts(Struct, frozen=True):
    """Timeouts of one port: a head that has begun or the first head, a body, and a client that reads the response."""

    head_timeout_seconds: float
    body_timeout_seconds: float
    reader_timeout_seconds: float


class IdleTimeouts:
    """Closes connections that waited in one state longer than its timeout."""

    def __init__(self, limits: ConnectionTimeouts) -> None:
        self._limits = limits
        self._waits: dict[LimitedConnection, tuple[str, object, float]] = {}

    def close_expired(self, connections: Iterable[LimitedConnection], now: float) -> None:
        """Close connections whose timeout has expired at `now`. A connection that changed its state starts anew."""
        waits: dict[LimitedConnection, tuple[str, object, float]] = {}
        for connection in connections:
            state = _waiting_state(connection)
            if state is None:
                continue
            before = self._waits.get(connection)
            began = before[2] if before is not None and before[:2] == state else now
            if now - began > self._seconds_max(state[0]):
                connection.end()
            waits[connection] = (*state, began)
        self._waits = waits

    def _seconds_max(self, state: str) -> float:
        limits = self._limits
        match state:
            case "reader":
                return limits.reader_timeout_seconds
            case "body":
                return limits.body_timeout_seconds
            case "head":
                return limits.head_timeout_seconds
            case _:
                return KEEP_ALIVE_SECONDS


def _waiting_state(connection: LimitedConnection) -> tuple[str, object] | None:
    """Return the state that the connection waits in and its request, None while a handler works on the request."""
    if connection.flow.write_paused:
        return "reader", None
    cycle = cast("object | None", connection.cycle)  # None before the first request, contrary to uvicorn's types
    if cycle is None or connection.cycle.response_complete:
        ended = cycle is None or not connection.cycle.more_body
        return "request" if connection.is_idle and ended else "head", cycle
    return ("body", cycle) if connection.cycle.more_body else None
