"""Tunnel through an HTTP proxy to a target with TLS: the method CONNECT (RFC 9110, 9.3.6)."""

import asyncio
import re
from socket import socket

from service.egress import ProxyRoute
from service.http_client.failures import proxy_rejected
from service.http_client.requests import USER_AGENT, basic_credentials
from service.http_url import HttpUrl

HEAD_BYTES_MAX = 32_768
"""Largest head of the proxy's response."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r\n]")
_HEAD_END = re.compile(rb"\r?\n\r?\n")


class _ConnectResponse(asyncio.Protocol):
    """Head of the proxy's response, as bytes."""

    def __init__(self) -> None:
        self.head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = _HEAD_END.search(self._received)
        if self.head.done() or (end is None and len(self._received) <= HEAD_BYTES_MAX):
            return
        if end is None:
            self.head.set_exception(ConnectionAbortedError("the head of the proxy's response is too large"))
        else:
            self.head.set_result(self._received)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.head.done():
            self.head.set_exception(exc or ConnectionAbortedError("the proxy closed the connection"))


async def open_tunnel(sock: socket, target: HttpUrl, proxy: ProxyRoute) -> asyncio.Transport:
    """Ask the proxy behind `sock` for a connection to the target.

    Raises:
        OSError: The proxy closed the connection.
        TransientError: `connect`: the proxy rejected the request.
    """
    name = f"[{target.host}]" if ":" in target.host else target.host.removesuffix(".")
    lines = [f"CONNECT {name}:{target.port} HTTP/1.1", f"Host: {name}:{target.port}", f"User-Agent: {USER_AGENT}"]
    if proxy.url is not None and proxy.url.has_credentials:
        lines.append(f"Proxy-Authorization: {basic_credentials(proxy.url)}")
    transport, response = await asyncio.get_running_loop().create_connection(_ConnectResponse, sock=sock)
    try:
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await response.head
        status = _STATUS_LINE.match(head)
        if status is None or not status[1].startswith(b"2"):
            code = int(status[1]) if status else 0
            raise proxy_rejected(code, target.authority, proxy)  # noqa: TRY301 - transport is closed
        end = _HEAD_END.search(head)
        if end is None or end.end() != len(head):
            raise ConnectionAbortedError("the proxy sent bytes before the TLS handshake")  # noqa: TRY301 - as above
    except BaseException:
        transport.abort()
        raise
    return transport
