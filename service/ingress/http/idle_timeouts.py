"""How long a connection may keep us waiting: for the next request, its head, its body, or for reading our answer.

All connections of a port are looked at together, once a second. What a sender must hurry with in the middle of a
request is counted more exactly where it is waited for (`service.ingress.http.timeouts`); this is the bound for whatever
has none there. A reader that never reads is the dearest of them, as its request is under way all the while.
"""

from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from service.ingress.http.connection_limits import LimitedConnection

KEEP_ALIVE_SECONDS = 75.0
"""Longer than load balancers hold idle connections (60 s, mostly), so that it is never us who closes on a request."""


class ConnectionTimeouts(Struct, frozen=True):
    """The longest waits of one port, in seconds: for a head that is begun, or for the first one; a body; a reader."""

    head_timeout_seconds: float
    body_timeout_seconds: float
    reader_timeout_seconds: float


class IdleTimeouts:
    """Looks at connections now and then, and closes those that waited in one place for too long."""

    def __init__(self, limits: ConnectionTimeouts) -> None:
        self._limits = limits
        self._waits: dict[LimitedConnection, tuple[str, object, float]] = {}

    def close_expired(self, connections: Iterable[LimitedConnection], now: float) -> None:
        """Close what is over its time at `now`; what moved on since the last look begins anew."""
        waits: dict[LimitedConnection, tuple[str, object, float]] = {}
        for connection in connections:
            waited_for = _waits_for(connection)
            if waited_for is None:
                continue
            before = self._waits.get(connection)
            began = before[2] if before is not None and before[:2] == waited_for else now
            if now - began > self._seconds_max(waited_for[0]):
                _end(connection, waited_for[0])
            waits[connection] = (*waited_for, began)
        self._waits = waits

    def _seconds_max(self, waited_for: str) -> float:
        limits = self._limits
        match waited_for:
            case "reader":
                return limits.reader_timeout_seconds
            case "body":
                return limits.body_timeout_seconds
            case "head":
                return limits.head_timeout_seconds
            case _:
                return KEEP_ALIVE_SECONDS


def _waits_for(connection: LimitedConnection) -> tuple[str, object] | None:
    """Give what is waited for, and since which request; None where it is our turn."""
    if connection.flow.write_paused:
        return "reader", None
    cycle = cast("object | None", connection.cycle)  # None before the first request, which uvicorn's types do not say
    if cycle is None or connection.cycle.response_complete:
        ended = cycle is None or not connection.cycle.more_body
        return "request" if connection.kept_alive and ended else "head", cycle
    return ("body", cycle) if connection.cycle.more_body else None


def _end(connection: LimitedConnection, waited_for: str) -> None:
    if waited_for == "reader":
        connection.transport.abort()  # closing would wait for it to read
    else:
        connection.transport.close()
