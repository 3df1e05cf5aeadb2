"""No response of the HTTP client may reach another call: cancelled calls, timeouts, and any bytes of a server."""

import asyncio
import random
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import PermanentError, TransientError
from service.http_client import HttpClient, HttpResponse, TransportOptions
from service.settings import Settings
from tests.certificates import write_server_certificate
from tests.service.http_client.servers import byte_server, call, read_head, trusting

pytestmark = pytest.mark.slow  # each case starts a server

KINDS = {"connect", "timeout", "tls", "reset", "protocol", "response_too_large"}
DELAYS = (0, 0, 0, 0.001, 0.005, 0.02)


class TokenServer:
    """Server that answers with the token of the request, many times, after delays. It ends some responses early."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    async def delay(self) -> None:
        await asyncio.sleep(self.chance.choice(DELAYS))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while True:
            head = await read_head(reader)
            token = head.split(b" ", 2)[1]
            if length := re.search(rb"Content-Length: (\d+)", head):
                assert await reader.readexactly(int(length[1])) == token * (int(length[1]) // len(token))
            body = token * self.chance.randrange(1, 400)
            await self.delay()
            writer.write(b"HTTP/1.1 200 OK\r\nX-Token: %b\r\nContent-Length: %d\r\n\r\n" % (token, len(body)))
            if self.chance.random() < 0.3:
                await self.delay()
            writer.write(body[: len(body) // 2])
            if token != b"/999999" and self.chance.random() < 0.1:
                return
            await writer.drain()
            writer.write(body[len(body) // 2 :])


async def call_with_token(
    client: HttpClient, url: str, number: int, chance: random.Random, transport: TransportOptions
) -> str:
    """Make a call that may be cancelled. Return how it ended."""
    method = chance.choice(["GET", "POST"])
    token = f"/{number:06d}"
    body = (token * chance.randrange(1, 50)).encode() if method == "POST" else None
    seconds_max = chance.choice([0.004, 0.02, 20])
    running = asyncio.create_task(
        call(client, url + token, method, body=body, seconds_max=seconds_max, transport=transport)
    )
    if chance.random() < 0.3:
        await asyncio.sleep(chance.choice(DELAYS))
        running.cancel()
    try:
        answer = await running
    except TransientError as error:
        return error.kind
    except asyncio.CancelledError:
        return "cancelled"
    assert answer.headers["x-token"] == token
    assert set(re.findall("/[0-9]{6}", answer.body.decode())) == {token}
    return "ok"


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "tls"])
def test_concurrent_calls_get_their_own_responses(
    loop: Callable[[Coroutine[Any, Any, None]], None], seed: int, tmp_path: Path, *, is_encrypted: bool
) -> None:
    """Calls are cancelled and time out at any moment, on few connections that are used by many calls."""
    chance = random.Random(seed)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*write_server_certificate(tmp_path))
    transport = trusting(str(tmp_path / "ca.pem"))

    async def run() -> None:
        async with (
            byte_server(TokenServer(chance).handle, tls if is_encrypted else None) as url,
            HttpClient(Settings(concurrency=4)) as client,
        ):
            left = iter(range(600))

            async def work() -> list[str]:
                return [await call_with_token(client, url, number, chance, transport) for number in left]

            found = [each for ended in await asyncio.gather(*(work() for _ in range(30))) for each in ended]
            assert len(found) == 600
            assert {"ok", "cancelled"} <= set(found) <= {"ok", "cancelled", "timeout", "reset", "connect"}
            last = await call(client, url + "/999999", transport=transport)
            assert last.headers["x-token"] == "/999999"

    loop(run())


STATUS_LINES = [b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 103 Hints", b"HTTP/1.0 500 E", b"HTTP/1.1 404", b"x"]
HEADERS = [
    b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip",
    b"Connection: close", b"Connection: keep-alive", b"Content-Encoding: gzip", b"Content-Encoding: zstd",
    b"Content-Encoding: br", b"Upgrade: h2c", b"X: folded\r\n value", b"bad header", b"Keep-Alive: timeout=9",
]  # fmt: skip
BODIES = [
    b"",
    b"first",
    b"5\r\nfirst\r\n0\r\n\r\n",
    b"5\r\nfirst\r\n0\r\nX: 1\r\n\r\n",
    b"first and more",
    b"\x1f\x8b\x08",
]


def join(line: bytes, headers: list[bytes], body: bytes, end: bytes) -> bytes:
    return end.join([line, *headers, b"", body])


structured = st.builds(
    join, st.sampled_from(STATUS_LINES), st.lists(st.sampled_from(HEADERS), max_size=4), st.sampled_from(BODIES),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]),
)  # fmt: skip
streams = st.lists(st.one_of(structured, structured, st.binary(max_size=40)), max_size=4).map(b"".join)
cuts = st.lists(st.integers(0, 400), max_size=6)


@asynccontextmanager
async def sending(stream: bytes, ends: Sequence[int], *, close: bool) -> AsyncGenerator[tuple[str, asyncio.Event]]:
    """Run a server whose first connection gets `stream` in pieces, and whose other requests get `second`."""
    sent = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            bounds = [0, *sorted(min(end, len(stream)) for end in ends), len(stream)]
            try:
                await read_head(reader)
                for start, end in pairwise(bounds):
                    writer.write(stream[start:end])
                    await writer.drain()
                    await asyncio.sleep(0)
            finally:
                sent.set()
            if close:
                return
        await read_head(reader)
        while True:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond")
            await read_head(reader)

    async with byte_server(handle) as url:
        yield url, sent


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(stream=streams, ends=cuts, close=st.booleans(), method=st.sampled_from(["GET", "POST", "HEAD"]))
def test_any_bytes_end_in_a_response_or_a_named_error_and_never_in_another_call(
    stream: bytes, ends: list[int], method: str, *, close: bool
) -> None:
    async def run() -> None:
        async with sending(stream, ends, close=close) as (url, sent), HttpClient(Settings()) as client:
            started = asyncio.get_running_loop().time()
            (ended,) = await asyncio.gather(
                call(client, url, method, seconds_max=0.1, bytes_max=1000), return_exceptions=True
            )
            if isinstance(ended, HttpResponse):
                assert b"%d" % ended.status in stream
                assert ended.body in {b"", b"first"} or ended.body in stream
            else:
                assert isinstance(ended, TransientError | PermanentError)
                assert ended.kind in KINDS
                if ended.kind == "connect":  # not sent in time
                    return
            assert asyncio.get_running_loop().time() - started < 30
            async with asyncio.timeout(30):
                await sent.wait()
            # The server may close the connection just now: a GET is repeated, a POST would fail with `reset`.
            for later in ("GET", "POST", "POST"):
                answer = await call(client, url, method=later)
                assert (answer.status, answer.body) == (200, b"second")

    asyncio.run(run())
