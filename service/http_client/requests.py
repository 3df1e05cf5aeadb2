"""Head of an HTTP/1.1 request as bytes (RFC 9112)."""

import functools
import re
from base64 import b64encode
from collections.abc import Mapping

from service.http_client.decompression import ACCEPT_ENCODING
from service.http_client.failures import invalid_request
from service.http_url import HttpUrl

USER_AGENT = "waybill"
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2."""
BODILESS_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods whose requests have no Content-Length if they have no body."""
RESERVED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
)
"""Headers that change the origin, the end of the request or the connection. A caller may not set them."""
DEFAULT_HEADERS = {
    "user-agent": f"User-Agent: {USER_AGENT}",
    "accept": "Accept: */*",
    "accept-encoding": f"Accept-Encoding: {ACCEPT_ENCODING}",
}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)


@functools.lru_cache(maxsize=512)
def _checked_name(name: str) -> str:
    """Return the name of a header in lower case.

    Raises:
        ValueError: The name is not valid, or a caller may not set this header.
    """
    lower = name.lower()
    if not _TOKEN.match(name) or lower in RESERVED_HEADERS:
        raise ValueError("not the name of a header that can be set")
    return lower


@functools.lru_cache(maxsize=64)
def checked_method(method: str) -> str:
    """Return a method in upper case.

    Raises:
        PermanentError: `invalid_request`.
    """
    if not _TOKEN.match(method):
        raise invalid_request()
    return method.upper()


@functools.lru_cache(maxsize=256)
def _template(method: str, has_body: bool, *names: str) -> tuple[str, int]:  # noqa: FBT001 - keys of the cache
    """Return the head of a request with a place for each value, and its number of lines.

    The places are those of target, host, values of `names`, and of the size of a body.

    Raises:
        ValueError: The name of a header is not valid, or a caller may not set this header.
    """
    lower = {_checked_name(name) for name in names}
    lines = [f"{method} %s HTTP/1.1", "Host: %s"]
    lines += [line for name, line in DEFAULT_HEADERS.items() if name not in lower]
    lines += [f"{name.replace('%', '%%')}: %s" for name in names]
    if has_body:
        if "content-type" not in lower:
            lines.append("Content-Type: application/octet-stream")
        lines.append("Content-Length: %d")
    elif method not in BODILESS_METHODS:
        lines.append("Content-Length: 0")
    return "\r\n".join(lines) + "\r\n\r\n", len(lines) + 1


def encode_head(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return the head of a request.

    Raises:
        PermanentError: `invalid_request`: a header cannot be sent.
    """
    try:
        template, lines = _template(method, body is not None, *headers)
        values = (target, host, *headers.values())
        head = template % (values if body is None else (*values, len(body)))
        if head.count("\n") != lines or head.count("\r") != lines or "\0" in head:
            raise invalid_request()
        return head.encode()
    except ValueError as error:  # also half a character
        raise invalid_request() from error


def basic_credentials(url: HttpUrl) -> str:
    """Return user and password of a URL as HTTP Basic sends them (RFC 7617)."""
    return "Basic " + b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
