"""URL of an HTTP call or a proxy, with all parts that a request needs."""

import functools
import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, unquote, urlsplit

import idna
from msgspec import Struct

DEFAULT_PORTS = {"http": 80, "https": 443}
CACHED_URLS = 256

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ORIGIN = re.compile(
    rf"(https?)://((?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*|{_OCTET}(?:\.{_OCTET}){{3}})(?::([0-9]{{1,5}}))?\Z", re.ASCII
)
"""Scheme, host name or IPv4 address, and port of a URL that needs no change."""
_TARGET = re.compile(r"/[\w~!$'()*+,;=:@&./?%-]*\Z", re.ASCII)
"""Path and query of most URLs. A percent sign and a dot segment need a further look."""
_HOST = re.compile(r"[a-z0-9_~!$&'()*+,;=-]+(?:\.[a-z0-9_~!$&'()*+,;=-]+)*\.?\Z", re.ASCII)
_BRACKETS = re.compile(r"(?:[^\[\]]*@)?\[[^\[\]]*:[^\[\]]*\](?::[0-9]*)?\Z", re.ASCII)
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_SAFE = "/:@!$&'()*+,;=~%"
_QUERY_SAFE = _PATH_SAFE + "? "


class HttpUrl(Struct, frozen=True):
    """Absolute URL. `host` is in lower case and ASCII, an IPv6 address without brackets. `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str = "/"
    user: str = ""
    password: str | None = None

    @property
    def has_credentials(self) -> bool:
        """Whether the URL has a user or a password."""
        return self.password is not None or self.user != ""

    @property
    def host_header(self) -> str:
        """Value of the header Host (RFC 9110, 7.2)."""
        return _authority(self.host.removesuffix("."), self.scheme, self.port)

    @property
    def authority(self) -> str:
        """Host and port for errors: no credentials, and no port if it is that of the scheme."""
        return _authority(self.host, self.scheme, self.port)


def _authority(host: str, scheme: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if DEFAULT_PORTS[scheme] == port else f"{name}:{port}"


def parse_http_url(text: str) -> HttpUrl:
    """Parse a URL. Characters that a URL cannot have are escaped, dot segments removed (RFC 3986, 5.2.4).

    Raises:
        ValueError: The URL is malformed, or is not an absolute one of http or https.
    """
    end = text.find("/", len("https://"))
    target = text[end:] if end > 0 else "/"
    if _TARGET.match(target) is None or "/." in target or "%" in target:
        return _parse(text)
    origin = _parse_origin(text[:end] if end > 0 else text)
    return _parse(text) if origin is None else HttpUrl(*origin, target)


@functools.lru_cache(maxsize=CACHED_URLS)
def _parse_origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port, or None if they need a further look."""
    found = _ORIGIN.match(text)
    if found is None:
        return None
    scheme, host, port = found.groups()
    number = DEFAULT_PORTS[scheme] if port is None else int(port)
    return (scheme, host, number) if number <= 65_535 else None


@functools.lru_cache(maxsize=CACHED_URLS)
def _parse(text: str) -> HttpUrl:
    parts = urlsplit(text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("the URL does not start with http:// or https:// and a host")
    if "[" in parts.netloc and not _BRACKETS.match(parts.netloc):
        raise ValueError("the brackets of the host do not contain an IPv6 address")
    port = parts.port
    path = _escape(parts.path, _PATH_SAFE)
    target = _without_dots(path) if "/." in path else path
    if parts.query:
        target = f"{target or '/'}?{_escape(parts.query, _QUERY_SAFE).replace(' ', '+')}"
    return HttpUrl(
        parts.scheme,
        _ascii_host(parts.hostname),
        DEFAULT_PORTS[parts.scheme] if port is None else port,
        target if target.startswith("/") else f"/{target}",
        unquote(parts.username or ""),
        None if parts.password is None else unquote(parts.password),
    )


def _escape(text: str, safe: str) -> str:
    return quote(_LONE_PERCENT.sub("%25", text), safe=safe)


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)


def _ascii_host(host: str) -> str:
    """Return a host name in ASCII, or an IP address.

    The forms `2130706433` and `127.1` of an IPv4 address are rejected: a check of the text would not see the address.
    """
    if ":" in host:
        return str(IPv6Address(host))
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode()
    if host.replace(".", "").isdigit():
        return str(IPv4Address(host))
    if not _HOST.match(host):
        raise ValueError("the host has characters that no host name has")
    return host
