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
"""On every answer of both ports: nothing here is a document, nothing may be kept, and a path may hold a token."""

ID_LENGTH = 32


_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+: [\t\x20-\x7e\x80-\xff]*")


class AsgiResponse(Struct, frozen=True, gc=False):
    """One response: its headers twice, as ASGI takes them and as they stand on the wire (`head`), and the body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    head: bytes
    body: bytes
    closes: bool = False
    """Whether the connection ends behind it."""


def make_response(status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None) -> AsgiResponse:
    """Make an answer with the security headers, `headers` and the body's length.

    Raises:
        ValueError: a header that would end another one.
    """
    named = {"content-type": media_type, "content-length": str(len(body)), **SECURITY_HEADERS, **(headers or {})}
    pairs = tuple([(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()])
    lines = [b"%b: %b" % pair for pair in pairs]
    # With a line break in a value, whoever chose it could write headers of their own into our answer.
    if not all(map(_HEADER.fullmatch, lines)):
        raise ValueError(f"these are no headers: {', '.join(named)}")
    begin = b"HTTP/1.1 %d %b" % (status, reason_phrase(status).encode())
    head = b"\r\n".join([begin, *lines, b""])
    return AsgiResponse(status, pairs, head, body, named.get("connection") == "close")


def reason_phrase(status: int) -> str:
    """Give the words of a status; a source may answer one that has none."""
    return _PHRASES.get(status, "Refused")


def accepted_response(outcomes: Sequence[FactOutcome]) -> AsgiResponse:
    """Make the 202 for what one delivery told; several facts are listed under `events` besides."""
    if len(outcomes) == 1:
        outcome = outcomes[0]
        # Only an id of the usual length fits the head, Content-Length included, that was made beforehand.
        if outcome.event_id is not None and len(outcome.event_id) == ID_LENGTH:
            made, before = _ACCEPTED[outcome.status]
            return AsgiResponse(202, made.headers, made.head, b'%b"%b"}' % (before, outcome.event_id.encode()))
    first = primary_outcome(outcomes)
    content: dict[str, Any] = {"status": first.status, "event_id": first.event_id}
    if len(outcomes) > 1:
        content["events"] = outcomes
    return make_response(202, "application/json", msgspec.json.encode(content))


def primary_outcome(outcomes: Sequence[FactOutcome]) -> FactOutcome:
    """Give the outcome that speaks for all: the first queued one, else the first duplicate, else ignored."""
    if len(outcomes) == 1:
        return outcomes[0]
    queued = next((outcome for outcome in outcomes if outcome.status == "queued"), None)
    return queued or next((outcome for outcome in outcomes if outcome.status == "duplicate"), IGNORED)


async def send_response(exchange: FastRequestCycle | None, send: Send, answer: AsgiResponse) -> None:
    """Send it whole: by one write where the server can, else as ASGI has it."""
    if exchange is not None:
        await exchange.send_whole(answer.head, answer.body, closes=answer.closes)
        return
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(cast("HTTPResponseStartEvent", start))
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _prepare(status: FactStatus) -> tuple[AsgiResponse, bytes]:
    before = b'{"status":"%b","event_id":' % status.encode()
    return make_response(202, "application/json", b"%b%b" % (before, b" " * (ID_LENGTH + 3))), before


_ACCEPTED = {"queued": _prepare("queued"), "duplicate": _prepare("duplicate"), "ignored": _prepare("ignored")}
