"""What is sent back, as ASGI messages: made beforehand where it is always the same, and joined from bytes where not."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
from litestar.types import Send
from litestar.types.asgi_types import HTTPResponseStartEvent
from msgspec import Struct

Status = Literal["queued", "duplicate", "ignored"]

SECURITY_HEADERS: dict[str, str] = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""On every answer of both ports: nothing here is a document, nothing may be kept, and a path may hold a token."""

ID_LENGTH = 32


class Answer(Struct, frozen=True, gc=False):
    """One response: the start message, with its headers, and the body."""

    start: HTTPResponseStartEvent
    body: bytes

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.start["status"]


class Outcome(Struct, frozen=True, gc=False):
    """What became of one fact: the id is the event's, the first one's for a duplicate, None where it was ignored."""

    status: Status
    event_id: str | None


IGNORED = Outcome("ignored", None)


def make_answer(status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """Make an answer with the security headers, `headers` and the body's length."""
    named = {"content-type": media_type, "content-length": str(len(body)), **SECURITY_HEADERS, **(headers or {})}
    return Answer(_start(status, named), body)


def accepted(outcomes: Sequence[Outcome]) -> Answer:
    """Make the 202 for what one delivery told; several facts are listed under `events` besides."""
    if len(outcomes) == 1:
        outcome = outcomes[0]
        if outcome.event_id is not None and len(outcome.event_id) == ID_LENGTH:
            start, before = _ACCEPTED[outcome.status]
            return Answer(start, b'%s"%s"}' % (before, outcome.event_id.encode()))
    first = leading(outcomes)
    told: dict[str, Any] = {"status": first.status, "event_id": first.event_id}
    if len(outcomes) > 1:
        told["events"] = outcomes
    return make_answer(202, "application/json", msgspec.json.encode(told))


def leading(outcomes: Sequence[Outcome]) -> Outcome:
    """Give the outcome that speaks for all: the first queued one, else the first duplicate, else ignored."""
    if len(outcomes) == 1:
        return outcomes[0]
    queued = next((outcome for outcome in outcomes if outcome.status == "queued"), None)
    return queued or next((outcome for outcome in outcomes if outcome.status == "duplicate"), IGNORED)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send it whole."""
    await send(answer.start)
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _start(status: int, headers: dict[str, str]) -> HTTPResponseStartEvent:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return cast("HTTPResponseStartEvent", {"type": "http.response.start", "status": status, "headers": pairs})


def _prepare(status: Status) -> tuple[HTTPResponseStartEvent, bytes]:
    before = b'{"status":"%s","event_id":' % status.encode()
    return make_answer(202, "application/json", b"%s%s" % (before, b" " * (ID_LENGTH + 3))).start, before


_ACCEPTED = {"queued": _prepare("queued"), "duplicate": _prepare("duplicate"), "ignored": _prepare("ignored")}
