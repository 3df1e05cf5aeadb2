"""Minimal HTTP on ASGI: complete requests and complete responses."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct

BODY_BYTES_MAX = 4_194_304

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Request(Struct, frozen=True):
    """A request with its body. `path` includes the query.

    `segments` are the parts of the path, unquoted after the split, since an id may contain a slash.
    """

    method: str
    path: str
    segments: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    client: tuple[str, int] | None


class Reply(Struct, frozen=True):
    """A response."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"


def json_reply(status: int, data: object) -> Reply:
    """Build a JSON response."""
    return Reply(status, msgspec.json.encode(data))


def plain_reply(status: HTTPStatus) -> Reply:
    """Build a response with the phrase of the status."""
    return json_reply(status, {"message": status.phrase})


async def read_request(scope: AsgiScope, receive: Receive) -> Request | None:
    """Read a complete request. Return None if the body exceeds 4 MiB or the client disconnects."""
    pieces: list[bytes] = []
    more, size = True, 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        size += len(piece)
        # Read the rest too: a client that is still sending does not read the response.
        if size <= BODY_BYTES_MAX:
            pieces.append(piece)
        more = message.get("more_body", False)
    if size > BODY_BYTES_MAX:
        return None
    raw: bytes = scope["raw_path"]
    segments = tuple(unquote_to_bytes(part).decode(errors="replace") for part in raw.split(b"/")[1:])
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query: bytes = scope["query_string"]
    path = (raw + b"?" + query if query else raw).decode("latin-1")
    return Request(scope["method"], path, segments, headers, b"".join(pieces), scope["client"])


async def send_reply(send: Send, reply: Reply, drip_ms: int = 0) -> None:
    """Send a response. With `drip_ms`, send the body byte by byte with this delay in milliseconds."""
    length = str(len(reply.body)).encode()
    headers = [(b"content-type", reply.content_type), (b"content-length", length), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for byte in reply.body if drip_ms else b"":
        await asyncio.sleep(drip_ms / 1000)
        await send({"type": "http.response.body", "body": bytes((byte,)), "more_body": True})
    await send({"type": "http.response.body", "body": b"" if drip_ms else reply.body})
