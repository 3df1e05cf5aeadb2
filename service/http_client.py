"""The one HTTP client: every call to a platform and every `http` action leaves through here.

Limits hold on each call: one deadline for all of it, one for connecting, one on the bytes of the answer, counted after
inflation and while reading. Redirects are not followed, cookies not kept, proxies of the environment not used. What
goes wrong becomes one of our errors, named after who must act. Guarded calls (see `service.ssrf_guard`) have a
connection pool of their own, so that none of them is served by a connection that was opened without the check.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from socket import AddressFamily
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from service.errors import PermanentError, TransientError
from service.settings import Settings
from service.ssrf_guard import SsrfGuard

CONNECT_TIMEOUT_SECONDS = 5.0
KEEPALIVE_SECONDS = 30.0
USER_AGENT = "waybill"


class HttpResponse(Struct, frozen=True):
    """What the other side said: any status, header names in lower case, the body inflated; duration in milliseconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: float


class HttpClient:
    """A pair of connection pools; made inside a running event loop and closed by whoever opened it.

    `allow_private_hosts` are names or addresses that guarded calls may reach although private.
    """

    def __init__(self, settings: Settings, allow_private_hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self._guard = SsrfGuard(allow_private_hosts)
        # A job makes one call at a time, unless several of its rules act side by side.
        connections_max = 2 * settings.concurrency
        self._plain = _open_session(aiohttp.DefaultResolver(), connections_max)
        self._guarded = _open_session(GuardedResolver(self._guard), connections_max)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds_max: float,
        bytes_max: int,
        guarded: bool,
    ) -> HttpResponse:
        """Make one call and read the whole answer; a status is an answer, whatever it says.

        A kept connection may turn out to be dead once the call is on it; idempotent methods (RFC 9110 9.2.2) are then
        sent once more on a fresh one, within the same deadline, others never.

        Raises:
            TransientError: `connect` (also DNS), `timeout`, `tls`, `reset`, `protocol`.
            PermanentError: `response_too_large`, `invalid_url`, `invalid_request`, `address_blocked` (only if guarded).
        """
        target = _parse_url(url)
        if guarded:
            self._guard.check_literal(target.raw_host or "")
        session = self._guarded if guarded else self._plain
        timeout = _timeout(seconds_max)
        started = time.perf_counter()
        try:
            async with session.request(
                method, target, headers=headers, data=_payload(body), timeout=timeout, allow_redirects=False
            ) as response:
                content = await _read(response, bytes_max)
                names = {name.lower(): value for name, value in response.headers.items()}
                return HttpResponse(response.status, names, content, (time.perf_counter() - started) * 1000)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError is how aiohttp refuses a method or a header that cannot be sent.
            raise _named(error, target) from error

    async def close(self) -> None:
        """Close both pools; calls under way fail."""
        await asyncio.gather(self._plain.close(), self._guarded.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class GuardedResolver(AbstractResolver):
    """Resolves as usual and checks every address before a connection is made to any of them."""

    def __init__(self, guard: SsrfGuard) -> None:
        self._guard = guard
        self._inner = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses of `host`.

        Raises:
            PermanentError: `address_blocked`.
        """
        found = await self._inner.resolve(host, port, family)
        self._guard.check_resolved(host, [item["host"] for item in found])
        return found

    async def close(self) -> None:
        """Close what resolves."""
        await self._inner.close()


def _open_session(resolver: AbstractResolver, connections_max: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=resolver, limit=connections_max, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=10
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
        raise_for_status=False,
        # Inflation is done piece by piece with back-pressure, so the count in _read stops a bomb as it unfolds.
        auto_decompress=True,
    )


@lru_cache(maxsize=64)
def _timeout(seconds_max: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds_max, sock_connect=min(CONNECT_TIMEOUT_SECONDS, seconds_max))


def _parse_url(url: str) -> URL:
    try:
        target = URL(url)
    except ValueError as error:
        raise PermanentError("invalid_url", "the URL cannot be read") from error
    if target.scheme not in {"http", "https"} or not target.raw_host:
        raise PermanentError("invalid_url", "the URL is not http:// or https:// with a host")
    return target


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    """Beyond a megabyte aiohttp wants to send piece by piece, so that other calls get their turn."""
    return BytesIO(body) if body is not None and len(body) > 1_048_576 else body


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    content = response.content
    while not content.at_eof():
        piece = await content.readany()  # what has come so far; nothing at the end
        size += len(piece)
        if size > bytes_max:
            response.close()
            raise PermanentError(
                "response_too_large", f"the answer is larger than {bytes_max} bytes", http_status=response.status
            )
        pieces.append(piece)
    if (error := content.exception()) is not None:  # an answer that ended in pieces that cannot be inflated
        raise error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _named(error: Exception, target: URL) -> TransientError | PermanentError:
    """Name what aiohttp raised. Of the URL only host and port are told: the rest may hold secrets."""
    named, kind, reason = next(
        (named, kind, reason) for raised, named, kind, reason in _NAMES if isinstance(error, raised)
    )
    host = target.raw_host if target.is_default_port() else f"{target.raw_host}:{target.port}"
    if "decode content-encoding" in str(error.__cause__):  # told by nothing but the words
        return TransientError("protocol", f"{host} packed its answer in a way that cannot be undone")
    return named(kind, reason.format(host=host))


_NAMES: tuple[tuple[type[Exception], type[TransientError] | type[PermanentError], str, str], ...] = (
    # The first that fits counts: aiohttp's errors are subclasses of each other, of OSError and of ValueError.
    (aiohttp.ClientSSLError, TransientError, "tls", "no trusted TLS connection to {host}"),
    (aiohttp.ConnectionTimeoutError, TransientError, "connect", "no connection to {host} in time"),
    (aiohttp.ClientConnectorError, TransientError, "connect", "no connection to {host}"),
    (TimeoutError, TransientError, "timeout", "{host} did not answer in time"),
    (aiohttp.InvalidURL, PermanentError, "invalid_url", "the URL of {host} cannot be used"),
    (aiohttp.ClientResponseError, TransientError, "protocol", "{host} does not speak HTTP"),
    (aiohttp.ClientError, TransientError, "reset", "{host} ended the connection before its answer was complete"),
    (OSError, TransientError, "reset", "{host} ended the connection before its answer was complete"),
    (Exception, PermanentError, "invalid_request", "the request's method or headers cannot be sent"),
)
