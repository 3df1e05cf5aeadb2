"""Responses as ASGI messages; fixed responses are encoded once."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar.types import Send
from litestar.types.asgi_types import HTTPResponseStartEvent
from msgspec import Struct

from service.ingestion.arrivals import IGNORED, FactOutcome, FactStatus
from service.ingress.http.fast_path import FastRequestCycle

SECURITY_HEADERS: dict[str, str] = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Headers of every response of both ports: no caching, no framing, no referrer (a path may contain a token)."""

ID_LENGTH = 32

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+: [\t\x20-\x7e\x80-\xff]*")


class AsgiResponse(Struct, frozen=True, gc=False):
    """One response: headers as ASGI pairs and encoded with the status line (`head`), and the body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    head: bytes
    body: bytes
    closes: bool = False
    """True if the connection closes after the response."""


def make_response(status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None) -> AsgiResponse:
    """Build a response with the security headers, `headers` and Content-Length.

    Raises:
        ValueError: a header is malformed, for example with a line break in its value.
    """
    named = {"content-type": media_type, "content-length": str(len(body)), **SECURITY_HEADERS, **(headers or {})}
    pairs = tuple([(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()])
    lines = [b"%b: %b" % pair for pair in pairs]
    # Prevent response splitting by a line break in a value.
    if not all(map(_HEADER.fullmatch, lines)):
        raise ValueError(f"one of these headers is malformed: {', '.join(named)}")
    begin = b"HTTP/1.1 %d %b" % (status, reason_phrase(status).encode())
    head = b"\r\n".join([begin, *lines, b""])
    return AsgiResponse(status, pairs, head, body, named.get("connection") == "close")


def reason_phrase(status: int) -> str:
    """Return the reason phrase of a status, `Rejected` for a status without one."""
    return _PHRASES.get(status, "Rejected")


def accepted_response(outcomes: Sequence[FactOutcome]) -> AsgiResponse:
    """Build the 202 of one delivery. Several facts are also listed under `events`."""
    if len(outcomes) == 1:
        outcome = outcomes[0]
        # The prepared head contains the Content-Length for an id of the usual length.
        if outcome.event_id is not None and len(outcome.event_id) == ID_LENGTH:
            prepared, prefix = _ACCEPTED[outcome.status]
            return AsgiResponse(202, prepared.headers, prepared.head, b'%b"%b"}' % (prefix, outcome.event_id.encode()))
    first = primary_outcome(outcomes)
    content: dict[str, Any] = {"status": first.status, "event_id": first.event_id}
    if len(outcomes) > 1:
        content["events"] = outcomes
    return make_response(202, "application/json", msgspec.json.encode(content))


def primary_outcome(outcomes: Sequence[FactOutcome]) -> FactOutcome:
    """Return the outcome of the whole delivery: the first queued one, else the first duplicate, else ignored."""
    if len(outcomes) == 1:
        return outcomes[0]
    queued = next((outcome for outcome in outcomes if outcome.status == "queued"), None)
    return queued or next((outcome for outcome in outcomes if outcome.status == "duplicate"), IGNORED)


async def send_response(cycle: FastRequestCycle | None, send: Send, response: AsgiResponse) -> None:
    """Send a response: by one write if `cycle` is given, else by ASGI messages."""
    if cycle is not None:
        await cycle.send_whole(response.head, response.body, closes=response.closes)
        return
    start = {"type": "http.response.start", "status": response.status, "headers": response.headers}
    await send(cast("HTTPResponseStartEvent", start))
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


def _prepare(status: FactStatus) -> tuple[AsgiResponse, bytes]:
    prefix = b'{"status":"%b","event_id":' % status.encode()
    return make_response(202, "application/json", b"%b%b" % (prefix, b" " * (ID_LENGTH + 3))), prefix


_ACCEPTED = {"queued": _prepare("queued"), "duplicate": _prepare("duplicate"), "ignored": _prepare("ignored")}
