"""Responses as ASGI messages; fixed responses are encoded once."""

import re
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar.types import Send
from litestar.types.asgi_types import HTTPResponseStartEvent
from msgspec import Struct

from service.ingestion.arrivals import IGNORED, FactOutcome, FactStatus

SECURITY_HEADERS: dict[str, str] = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Headers of every response of both ports: no caching, no framing, no referrer (a path may contain a token)."""

ID_LENGTH = 32
NO_CONTENT = 204

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+: [\t\x20-\x7e\x80-\xff]*")


class EncodedHeaders(tuple[tuple[bytes, bytes], ...]):  # noqa: SLOT001 - a tuple cannot have slots with values
    """Headers as ASGI pairs, with the same headers encoded in advance.

    A middleware that changes a header replaces this object, so a server uses `head` only for unchanged headers.
    """

    status: int
    head: bytes
    """Status line and headers, without the final empty line."""
    body_bytes: int
    """Content-Length."""
    closes: bool
    """True if the connection closes after the response."""


class AsgiResponse(Struct, frozen=True, gc=False):
    """One response."""

    status: int
    headers: EncodedHeaders
    body: bytes


def make_response(status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None) -> AsgiResponse:
    """Build a response with the security headers, `headers` and Content-Length.

    Raises:
        ValueError: a header is malformed, for example with a line break in its value.
    """
    content = {"content-type": media_type, "content-length": str(len(body))}
    if status == NO_CONTENT:  # without Content-Length (RFC 9110, 8.6)
        content, body = {}, b""
    named = {**content, **SECURITY_HEADERS, **(headers or {})}
    encoded = EncodedHeaders([(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()])
    lines = [b"%b: %b" % pair for pair in encoded]
    # Prevent response splitting by a line break in a value.
    if not all(map(_HEADER.fullmatch, lines)):
        raise ValueError(f"one of these headers is malformed: {', '.join(named)}")
    begin = b"HTTP/1.1 %d %b" % (status, reason_phrase(status).encode())
    encoded.status, encoded.body_bytes, encoded.closes = status, len(body), named.get("connection") == "close"
    encoded.head = b"\r\n".join([begin, *lines, b""])
    return AsgiResponse(status, encoded, body)


def reason_phrase(status: int) -> str:
    """Return the reason phrase of a status, `Rejected` for a status without one."""
    return _PHRASES.get(status, "Rejected")


def accepted_response(outcomes: Sequence[FactOutcome], status: int = 202, body: str | None = None) -> AsgiResponse:
    """Build the response to an accepted delivery. Several facts are also listed under `events`.

    With a `body`, the response is this text for every delivery.
    """
    if body is not None or status == NO_CONTENT:
        return _fixed_response(status, body or "")
    if len(outcomes) == 1:
        outcome = outcomes[0]
        # The prepared head contains the Content-Length for an id of the usual length.
        if outcome.event_id is not None and len(outcome.event_id) == ID_LENGTH:
            prepared, prefix = _prepare(outcome.status, status)
            return AsgiResponse(status, prepared.headers, b'%b"%b"}' % (prefix, outcome.event_id.encode()))
    first = primary_outcome(outcomes)
    content: dict[str, Any] = {"status": first.status, "event_id": first.event_id}
    if len(outcomes) > 1:
        content["events"] = outcomes
    return make_response(status, "application/json", msgspec.json.encode(content))


def primary_outcome(outcomes: Sequence[FactOutcome]) -> FactOutcome:
    """Return the outcome of the whole delivery: the first queued one, else the first duplicate, else ignored."""
    if len(outcomes) == 1:
        return outcomes[0]
    queued = next((outcome for outcome in outcomes if outcome.status == "queued"), None)
    return queued or next((outcome for outcome in outcomes if outcome.status == "duplicate"), IGNORED)


async def send_response(send: Send, response: AsgiResponse) -> None:
    """Send a response as ASGI messages, which pass every middleware."""
    start = {"type": "http.response.start", "status": response.status, "headers": response.headers}
    await send(cast("HTTPResponseStartEvent", start))
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


@lru_cache(maxsize=32)
def _prepare(outcome: FactStatus, status: int) -> tuple[AsgiResponse, bytes]:
    prefix = b'{"status":"%b","event_id":' % outcome.encode()
    return make_response(status, "application/json", b"%b%b" % (prefix, b" " * (ID_LENGTH + 3))), prefix


@lru_cache(maxsize=32)
def _fixed_response(status: int, body: str) -> AsgiResponse:
    media_type = "application/json" if body.startswith("{") else "text/plain; charset=utf-8"
    return make_response(status, media_type, body.encode())
