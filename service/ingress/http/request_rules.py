"""Rules of RFC 9110 and RFC 9112 for the head of a request that the parser does not check. Pure.

A proxy and this server must read a request in the same way. Otherwise a request passes the rules of the proxy under
another address, or hides a second one.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

_CHECKED = frozenset({b"host", b"transfer-encoding"})
_AMBIGUOUS_PATH = re.compile(rb"(?i)%2f|(?<!\A)//")
"""An encoded slash, or an empty segment that is not the first. Senders join an address and `/webhooks/…` to `//`."""


class RequestFault(Struct, frozen=True):
    """Reason to reject a request before its body is read. The connection closes."""

    status: int
    code: str
    detail: str


MALFORMED = RequestFault(400, "bad_request", "The request is not valid HTTP.")
_VERSION = RequestFault(505, "version_not_supported", "Send the request with HTTP/1.1 or HTTP/1.0.")
_HOST_FAULT = RequestFault(400, "bad_request", "Send exactly one Host header.")
_CODING = RequestFault(501, "coding_not_supported", "Send the body with Content-Length, or with chunked alone.")
_CODING_OF_1_0 = RequestFault(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding. Send Content-Length.")


def check_request_head(version: str, headers: Iterable[tuple[bytes, bytes]]) -> RequestFault | None:
    """Return the fault of a head, None for a valid one. Names of headers are in lower case."""
    if version not in {"1.1", "1.0"}:
        return _VERSION
    checked = [pair for pair in headers if pair[0] in _CHECKED]
    # Fast path for the usual request: a body with Content-Length.
    if len(checked) == 1 and checked[0][0] == b"host":
        return None  # Litestar checks the value
    codings = [value.strip(b" \t").lower() for name, value in checked if name != b"host"]
    hosts = len(checked) - len(codings)
    if hosts > 1 or (not hosts and version == "1.1"):
        return _HOST_FAULT
    if not codings:
        return None
    if version == "1.0":
        return _CODING_OF_1_0
    return None if codings == [b"chunked"] else _CODING


def is_ambiguous(path: bytes) -> bool:
    """Return whether proxies read a path in different ways: encoded slashes, or empty segments."""
    return _AMBIGUOUS_PATH.search(path) is not None
