"""Attacks on a real process: memory and CPU time stay bounded, and other senders are still served."""

import asyncio
import contextlib
import gzip
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from backports import zstd

from tests.waiting import PATIENCE_SECONDS

from .conftest import Order, Start, encode, signed

pytestmark = pytest.mark.slow

MIB = 1_048_576
BODY = encode(Order("1"))
HEAD = b"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
SECONDS = 2.0

Attack = Callable[[int, str], Coroutine[Any, Any, int]]


def rss_bytes(pid: int) -> int:
    """Return the peak resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmHWM"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def bombs(_: int, url: str) -> int:
    """Send decompression bombs: a gigabyte in a megabyte."""
    compressed = [
        ((await asyncio.to_thread(gzip.compress, bytes(200 * MIB), 1))[:1_000_000], "gzip"),
        (await asyncio.to_thread(zstd.compress, bytes(1_000 * MIB)), "zstd"),
    ]  # fmt: skip
    async with aiohttp.ClientSession() as session:
        statuses: list[int] = []
        for number in range(40):
            body, encoding = compressed[number % 2]
            headers = signed(BODY, content_encoding=encoding)
            # the connection may be closed before the whole bomb is sent
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(f"{url}/webhooks/erp-orders", data=body, headers=headers) as response:
                    statuses.append(response.status)
    assert statuses[:3] == [413] * 3
    assert set(statuses) <= {413, 503}  # each counts as many rejections, so the address is limited soon
    return len(statuses)


async def slow_senders(port: int, _: str) -> int:
    """Send heads and bodies byte by byte on hundreds of connections."""
    writers: list[asyncio.StreamWriter] = []
    for number in range(300):
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD if number % 2 else HEAD + b"content-length: 900000\r\n\r\n" + b"a" * 60_000)
        writers.append(writer)
    for _turn in range(int(SECONDS * 2)):
        await asyncio.sleep(0.5)
        for writer in writers:
            writer.write(b"a")
    for writer in writers:
        writer.transport.abort()
    return len(writers)


async def endless_heads(port: int, _: str) -> int:
    """Send megabytes of one header on many connections."""

    async def send_header() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(OSError):
            writer.write(HEAD + b"x-more: ")
            for _ in range(2_000):
                writer.write(b"a" * 16_384)
                await writer.drain()
        writer.transport.abort()

    await asyncio.gather(*(send_header() for _ in range(50)))
    return 50


async def bad_signatures(_: int, url: str) -> int:
    """Send deliveries with wrong signatures as fast as possible."""
    body, headers, until = bytes(10_000), signed(b"another"), asyncio.get_running_loop().time() + SECONDS
    sent = 0
    async with aiohttp.ClientSession() as session:

        async def send() -> None:
            nonlocal sent
            while asyncio.get_running_loop().time() < until:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(f"{url}/webhooks/erp-orders", data=body, headers=headers) as response:
                        assert response.status in {401, 503}
                        sent += 1

        await asyncio.gather(*(send() for _ in range(16)))
    return sent


async def clients_that_do_not_read(port: int, _: str) -> int:
    """Send requests without reading the responses."""
    until = asyncio.get_running_loop().time() + SECONDS

    async def send_requests() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        sent = 0
        with contextlib.suppress(OSError, TimeoutError):
            while asyncio.get_running_loop().time() < until:
                writer.write(HEAD + b"content-length: 2\r\n\r\n{}")
                async with asyncio.timeout(0.1):
                    await writer.drain()
                sent += 1
                await asyncio.sleep(0.01)
        writer.transport.abort()
        del reader
        return sent

    return sum(await asyncio.gather(*(send_requests() for _ in range(40))))


async def offers_of_other_protocols(port: int, _: str) -> int:
    """Send pipelined requests that each offer HTTP/2."""
    request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    until, answers = asyncio.get_running_loop().time() + SECONDS, 0
    while asyncio.get_running_loop().time() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request * 500)
        with contextlib.suppress(OSError):
            answers += (await reader.read(65_536)).count(b"HTTP/1.1 200")
        writer.transport.abort()
        await asyncio.sleep(0.01)
    return answers


@pytest.fixture
def closing(start: Start) -> Iterator[contextlib.ExitStack]:  # noqa: ARG001 - closes before the process ends
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "attack", [bombs, slow_senders, endless_heads, bad_signatures, clients_that_do_not_read, offers_of_other_protocols]
)
async def test_attack_uses_few_resources_and_blocks_no_other_sender(
    *, attack: Attack, start: Start, valkey_url: str, client: aiohttp.ClientSession, closing: contextlib.ExitStack
) -> None:
    serving = await start(
        redis_url=valkey_url, body_timeout_seconds=1, in_flight_body_bytes_max=8 * MIB,
        address_rejections_per_second_max=50, trusted_proxies="127.0.0.1",
    )  # fmt: skip
    started = await serving.line("process.started")
    pid, port = serving.process.pid, started["port"]
    url = f"http://127.0.0.1:{port}"
    draining = asyncio.create_task(drain(serving.process.stdout))
    closing.callback(draining.cancel)
    memory, cpu = rss_bytes(pid), cpu_seconds(pid)
    attacking = asyncio.create_task(attack(port, url))
    slowest = 0.0
    for number in range(20):
        body = encode(Order(f"good {number}"))
        headers = signed(body, x_forwarded_for="203.0.113.9")
        began = asyncio.get_running_loop().time()
        async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=headers) as response:
            assert response.status == 202
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.05)
    times = await attacking
    memory_growth, cpu = rss_bytes(pid) - memory, cpu_seconds(pid) - cpu
    lines = await finish(draining, serving.process)
    resources = f"{memory_growth / MIB:.1f} MiB, {cpu:.2f} s, {slowest:.3f} s, {lines} lines"
    sys.stdout.write(f"{attack.__name__}: {times} requests, {resources}\n")
    assert memory_growth < 40 * MIB
    assert cpu < 3
    assert slowest < 10  # generous, for a busy machine
    assert lines < 2_000


async def drain(stdout: asyncio.StreamReader | None) -> int:
    assert stdout is not None
    lines = 0
    while await stdout.readline():
        lines += 1
    return lines


async def finish(draining: asyncio.Task[int], process: asyncio.subprocess.Process) -> int:
    process.terminate()
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await draining
