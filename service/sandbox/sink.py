"""Sink of actions: stores the requests and messages that the targets of the sandbox accept."""

from collections import deque
from collections.abc import Sequence
from email import message_from_bytes
from email.policy import default

from msgspec import Struct

from service.exchange import SMTP_METHOD
from service.mock.http import Request

STORED_MAX = 100_000
"""Older requests are forgotten; `count` goes on."""


class ReceivedRequest(Struct, frozen=True):
    """One request; `body` is text. The path of an email has its recipients."""

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
        body = request.body.decode(errors="replace")
        self._append(ReceivedRequest(request.method, request.path, dict(request.headers), body))

    def keep_mail(self, recipients: Sequence[str], content: bytes) -> None:
        """Store an email."""
        message = message_from_bytes(content, policy=default)
        headers = {name.lower(): str(value) for name, value in message.items()}
        text = message.get_content() if message.get_content_maintype() == "text" else content.decode(errors="replace")
        self._append(ReceivedRequest(SMTP_METHOD, f"/{','.join(recipients)}", headers, str(text)))

    def _append(self, received: ReceivedRequest) -> None:
        self.count += 1
        self.requests.append(received)

    def clear(self) -> None:
        """Remove all requests."""
        self.requests.clear()
        self.count = 0
