"""Where `http` actions can be sent to see what they send: it keeps the requests and answers 200."""

from collections import deque

from msgspec import Struct

from service.mock.http import Request

STORED_MAX = 100_000
"""Older requests are forgotten; `count` goes on."""


class ReceivedRequest(Struct, frozen=True):
    """One request as it came; `body` as text."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Sink:
    """The requests that were sent here, oldest first, and how many there were since the last clearing."""

    def __init__(self) -> None:
        self.requests: deque[ReceivedRequest] = deque(maxlen=STORED_MAX)
        self.count = 0

    def keep(self, request: Request) -> None:
        """Keep a request."""
        self.count += 1
        body = request.body.decode(errors="replace")
        self.requests.append(ReceivedRequest(request.method, request.path, dict(request.headers), body))

    def clear(self) -> None:
        """Forget all."""
        self.requests.clear()
        self.count = 0
