"""Sink of `http` actions: stores the requests and answers 200."""

from collections import deque

from msgspec import Struct

from service.mock.http import Request

STORED_MAX = 100_000
"""Older requests are forgotten; `count` goes on."""


class ReceivedRequest(Struct, frozen=True):
    """One request; `body` is text."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Sink:
    """Requests, oldest first, and their number since the last reset."""

    def __init__(self) -> None:
        self.requests: deque[ReceivedRequest] = deque(maxlen=STORED_MAX)
        self.count = 0

    def keep(self, request: Request) -> None:
        """Store a request."""
        self.count += 1
        body = request.body.decode(errors="replace")
        self.requests.append(ReceivedRequest(request.method, request.path, dict(request.headers), body))

    def clear(self) -> None:
        """Remove all requests."""
        self.requests.clear()
        self.count = 0
