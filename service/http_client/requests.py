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
FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"})
"""Headers that would change where the request ends, or what the connection does. A caller may not set them."""
DEFAULT_HEADERS = {
    "user-agent": f"User-Agent: {USER_AGENT}\r\n",
    "accept": "Accept: */*\r\n",
    "accept-encoding": f"Accept-Encoding: {ACCEPT_ENCODING}\r\n",
}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)


@functools.lru_cache(maxsize=512)
def _checked_name(name: str) -> str:
    """Return the name of a header in lower case.

    Raises:
        ValueError: The name is not valid, or a caller may not set this header.
    """
    lower = name.lower()
    if not _TOKEN.match(name) or lower in FRAMING_HEADERS:
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


def encode_head(
    method: str, target: str, headers: Mapping[str, str], *, host: str, size: int | None, further: str = ""
) -> bytes:
    """Return the head of a request. `size` is that of the body, None without one. `further` are complete lines.

    Raises:
        PermanentError: `invalid_request`: a header cannot be sent.
    """
    lines = [f"{method} {target} HTTP/1.1\r\n"]
    try:
        names = {_checked_name(name) for name in headers}
    except ValueError as error:
        raise invalid_request() from error
    if "host" not in names:
        lines.append(f"Host: {host}\r\n")
    lines += [line for name, line in DEFAULT_HEADERS.items() if name not in names]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    if size is not None:
        if "content-type" not in names:
            lines.append("Content-Type: application/octet-stream\r\n")
        lines.append(f"Content-Length: {size}\r\n")
    elif method not in BODILESS_METHODS:
        lines.append("Content-Length: 0\r\n")
    count = len(lines)
    head = "".join(lines)
    if head.count("\n") != count or head.count("\r") != count or "\0" in head:
        raise invalid_request()
    try:
        return f"{head}{further}\r\n".encode()
    except UnicodeEncodeError as error:  # half a character
        raise invalid_request() from error


def basic_credentials(url: HttpUrl) -> str:
    """Return user and password of a URL as HTTP Basic sends them (RFC 7617); empty without them."""
    if not url.user and url.password is None:
        return ""
    return "Basic " + b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
