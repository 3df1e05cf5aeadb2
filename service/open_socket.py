"""TCP connections to hosts with several addresses: Happy Eyeballs (RFC 8305)."""

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest

from service.name_resolver import NameResolver, ResolvedAddress

ATTEMPT_DELAY_SECONDS = 0.25
"""Delay before the next address is tried (RFC 8305, section 5)."""


async def open_socket(resolver: NameResolver, host: str, port: int) -> socket.socket:
    """Connect to a host, as `connect_first`.

    Raises:
        OSError: The name has no address, or no address accepts the connection.
    """
    return await connect_first(await resolver.resolve(host, port, socket.AF_UNSPEC))


async def connect_first(addresses: Sequence[ResolvedAddress]) -> socket.socket:
    """Connect to the first of the addresses that accepts. The families alternate; attempts overlap.

    Raises:
        OSError: There is no address, or none accepts the connection.
    """
    if len(addresses) == 1:
        return await _connect(addresses[0])
    left = _alternate(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    error: BaseException = OSError("the host has no address")
    try:
        while left or running:
            if left:
                running.add(asyncio.ensure_future(_connect(left.pop(0))))
            timeout = ATTEMPT_DELAY_SECONDS if left else None
            done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            opened = [attempt.result() for attempt in done if attempt.exception() is None]
            for surplus in opened[1:]:
                surplus.close()
            if opened:
                return opened[0]
            error = next((attempt.exception() or error for attempt in done), error)
        raise error
    finally:
        for attempt in running:
            attempt.add_done_callback(_close_socket)
            attempt.cancel()


async def _connect(address: ResolvedAddress) -> socket.socket:
    sock = socket.socket(address["family"], socket.SOCK_STREAM, address["proto"])
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, _socket_address(address))
    except BaseException:
        sock.close()
        raise
    return sock


def _socket_address(address: ResolvedAddress) -> tuple[str, int] | tuple[str, int, int, int]:
    host, _, interface = address["host"].partition("%")
    if not interface:
        return host, address["port"]
    number = int(interface) if interface.isdigit() else socket.if_nametoindex(interface)
    return host, address["port"], 0, number


def _alternate(addresses: Sequence[ResolvedAddress]) -> list[ResolvedAddress]:
    """Return the addresses with alternating families, that of the first address first (RFC 8305, section 4)."""
    first = [each for each in addresses if each["family"] == addresses[0]["family"]]
    others = [each for each in addresses if each["family"] != addresses[0]["family"]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


def _close_socket(attempt: "asyncio.Task[socket.socket]") -> None:
    """Close the socket of an attempt that succeeded after another one."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
