"""Resolver of host names for outgoing connections. A name server that does not answer delays only its own names.

asyncio and uvloop look names up on a few threads that all names share, and a cancelled lookup keeps its thread. Here
each name has at most one lookup, on a thread of its own, and the number of threads is limited.
"""

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

LOOKUPS_MAX = 64
"""Largest number of lookups at the same time, and so of names that may hang without an effect on other names."""

AddressInfo = tuple[socket.AddressFamily, int, int, str, tuple[Any, ...]]
Lookup = Callable[..., Sequence[AddressInfo]]
"""Blocking lookup with the parameters of `socket.getaddrinfo`."""


class ResolvedAddress(TypedDict):
    """IP address of a host. `host` is the address, with the interface of a link-local one (`fe80::1%2`)."""

    hostname: str
    host: str
    port: int
    family: socket.AddressFamily
    proto: int


class NameResolver:
    """Resolves host names by the operating system, in threads."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._slots = asyncio.Semaphore(LOOKUPS_MAX)
        self._pending: dict[tuple[str, int, int], asyncio.Task[Sequence[AddressInfo]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolvedAddress]:
        """Return the IP addresses of `host`. Concurrent calls for one name share one lookup.

        Raises:
            OSError: The name has no address, or the lookup failed.
        """
        key = (host, port, family)
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = asyncio.ensure_future(self._run(key))
            pending.add_done_callback(functools.partial(self._remove, key))
        infos = await asyncio.shield(pending)  # the lookup continues for the other callers
        return [_result(host, port, info) for info in infos]

    async def close(self) -> None:
        """Abandon all lookups. Their threads end with their lookups, and do not delay the end of the process."""
        for pending in list(self._pending.values()):
            pending.cancel()

    def _remove(self, key: tuple[str, int, int], pending: "asyncio.Task[Sequence[AddressInfo]]") -> None:
        del self._pending[key]
        if not pending.cancelled():
            pending.exception()  # all callers may be gone

    async def _run(self, key: tuple[str, int, int]) -> Sequence[AddressInfo]:
        async with self._slots:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Sequence[AddressInfo]] = loop.create_future()
            threading.Thread(target=self._run_in_thread, args=(key, loop, future), daemon=True).start()
            return await future

    def _run_in_thread(
        self,
        key: tuple[str, int, int],
        loop: asyncio.AbstractEventLoop,
        future: "asyncio.Future[Sequence[AddressInfo]]",
    ) -> None:
        host, port, family = key
        report: Callable[[], None]
        try:
            infos = self._lookup(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            report = functools.partial(_set, future, infos, None)
        except OSError as error:
            report = functools.partial(_set, future, (), error)
        except ValueError as error:  # a label that is empty or too long
            report = functools.partial(_set, future, (), OSError(f"invalid host name: {error}"))
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(report)


def _set(future: "asyncio.Future[Sequence[AddressInfo]]", infos: Sequence[AddressInfo], error: OSError | None) -> None:
    if future.done():  # abandoned
        return
    if error is None:
        future.set_result(infos)
    else:
        future.set_exception(error)


def _result(host: str, port: int, info: AddressInfo) -> ResolvedAddress:
    family, _, protocol, _, address = info
    text = str(address[0])
    if family == socket.AF_INET6 and len(address) > 3 and address[3]:
        text = f"{text.partition('%')[0]}%{address[3]}"  # the interface of a link-local address
    return ResolvedAddress(hostname=host, host=text, port=port, family=family, proto=protocol)
