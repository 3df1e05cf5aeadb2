"""Connections to hosts with several addresses."""

import asyncio
import contextlib
import socket
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest

from service.name_resolver import ResolvedAddress
from service.open_socket import connect_first
from tests.waiting import until


def address(host: str, port: int) -> ResolvedAddress:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return ResolvedAddress(hostname="erp.test", host=host, port=port, family=family, proto=socket.IPPROTO_TCP)


@pytest.fixture
def port() -> Iterator[int]:
    """Listen at 127.0.0.1 only."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def hanging(host: str, port: int) -> Generator[None]:
    """Listen at an address where connections hang: its queue is full."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex((host, port))
        yield


@pytest.mark.parametrize("hosts", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.2", "127.0.0.1"]])
async def test_first_address_that_accepts_is_used(port: int, hosts: Sequence[str]) -> None:
    started = asyncio.get_running_loop().time()
    with await connect_first([address(host, port) for host in hosts]) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
    assert asyncio.get_running_loop().time() - started < 20


@pytest.mark.parametrize("hosts", [[], ["127.0.0.2"], ["127.0.0.2", "::1", "127.0.0.3"]])
async def test_no_address_that_accepts_is_an_os_error(port: int, hosts: Sequence[str]) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the text is that of the operating system
        await connect_first([address(host, port) for host in hosts])


async def test_address_that_hangs_delays_the_next_one_only_briefly(port: int) -> None:
    with hanging("127.0.0.2", port), hanging("127.0.0.3", port):
        async with asyncio.timeout(20):
            with await connect_first([address(f"127.0.0.{n}", port) for n in (2, 3, 1)]) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)


def open_sockets() -> int:
    """Return the number of open sockets of this process."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile, as the one of the folder itself
            count += str(path.readlink()).startswith("socket:")
    return count


async def test_cancelled_call_closes_its_sockets(port: int) -> None:
    with hanging("127.0.0.2", port), hanging("127.0.0.3", port):
        before = open_sockets()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await connect_first([address("127.0.0.2", port), address("127.0.0.3", port)])
        await until(lambda: open_sockets() == before)
