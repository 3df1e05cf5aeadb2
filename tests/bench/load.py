"""Load generator: one raw protocol per connection on uvloop, with prebuilt requests, so that the client is no limit.

    python -m tests.bench.load '{"port": 8080, "connections": 32, "seconds": 2, …}'

The output is one JSON line. With `pace_ms`, one connection sends requests at random intervals. With `pause_ms`, each
connection pauses between two requests. Both run until SIGTERM or for `seconds`, and report the time of each response.
"""

import asyncio
import gc
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from tests.bench.clock import cpu_seconds, percentile
from tests.bench.material import signed_requests

WARM_SECONDS = 0.4


class LoadParameters(Struct, frozen=True):
    """Parameters of a load. `pids` are processes whose CPU time is reported; `run` prefixes the event ids."""

    port: int
    path: str
    run: str
    connections: int = 32
    seconds: float = 2.0
    requests: int = 50_000
    pids: dict[str, int] = {}
    pace_ms: float = 0.0
    pause_ms: float = 0.0


class Tally:
    """Counts of responses."""

    def __init__(self, requests: Iterator[bytes], pause_ms: float = 0.0) -> None:
        self.requests = requests
        self.pause_seconds = pause_ms / 1000
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.moments: list[tuple[float, float]] = []
        self.counting = False
        self.warm_statuses: Counter[str] = Counter()
        self.done = asyncio.get_running_loop().create_future()

    def record(self, status: bytes, seconds: float) -> None:
        if not self.counting:
            self.warm_statuses[status.decode()] += 1
        else:
            self.statuses[status.decode()] += 1
            self.seconds.append(seconds)
            if self.pause_seconds:
                self.moments.append((time.monotonic(), seconds * 1000))

    def end(self) -> None:
        self.counting = False
        if not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """Sends the next request after the response to the last one."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._buffer = b""
        self._began = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # the class of uvloop is no subclass
        self._next()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ", 0, head) + 16
        if head < 0 or at < 16 or len(data) < head + 4 + int(data[at : data.find(b"\r", at)]):
            self._buffer = data
            return
        self._buffer = b""
        self._tally.record(data[9:12], time.perf_counter() - self._began)
        if self._tally.pause_seconds:
            asyncio.get_running_loop().call_later(self._tally.pause_seconds, self._next)
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        _ = exc
        self._tally.end()

    def _next(self) -> None:
        request = next(self._tally.requests, None)
        if request is None or self._transport is None or self._tally.done.done():
            self._tally.end()
            return
        self._began = time.perf_counter()
        self._transport.write(request)


async def saturate(parameters: LoadParameters, requests: list[bytes]) -> dict[str, object]:
    """Run with one request in flight on every connection."""
    loop = asyncio.get_running_loop()
    tally = Tally(iter(requests))
    lines = [
        (await loop.create_connection(lambda: Connection(tally), "127.0.0.1", parameters.port))[0]
        for _ in range(parameters.connections)
    ]
    await asyncio.sleep(WARM_SECONDS)
    spent = {name: cpu_seconds(pid) for name, pid in parameters.pids.items()}
    began, own = time.perf_counter(), time.process_time()
    tally.counting = True
    await asyncio.wait((tally.done,), timeout=parameters.seconds)
    seconds, own = time.perf_counter() - began, time.process_time() - own
    shares = {name: (cpu_seconds(pid) - spent[name]) / seconds for name, pid in parameters.pids.items()}
    ended = tally.done.done()
    tally.end()
    for line in lines:
        line.close()
    if not tally.seconds:
        why = "a connection ended" if ended else "the server was too slow"
        raise RuntimeError(f"no response within {seconds:.1f} s: {why}; before: {dict(tally.warm_statuses)}")
    return {
        "rate": len(tally.seconds) / seconds,
        "p50_ms": percentile(tally.seconds, 0.5) * 1000,
        "p99_ms": percentile(tally.seconds, 0.99) * 1000,
        "statuses": dict(tally.statuses),
        "shares": {"client": own / seconds, **shares},
    }


async def send_steadily(parameters: LoadParameters) -> dict[str, object]:
    """Run with a load far below the capacity. Return the monotonic time and the ms of each response."""
    loop = asyncio.get_running_loop()
    tally = Tally(signed_requests(parameters.path, parameters.run, parameters.requests), parameters.pause_ms)
    loop.add_signal_handler(signal.SIGTERM, tally.end)
    for _ in range(parameters.connections):
        await loop.create_connection(lambda: Connection(tally), "127.0.0.1", parameters.port)
    await asyncio.sleep(WARM_SECONDS)
    tally.counting = True
    await asyncio.wait((tally.done,), timeout=parameters.seconds)
    tally.end()
    return {"moments": tally.moments, "statuses": dict(tally.statuses)}


async def send_sporadically(parameters: LoadParameters, requests: list[bytes]) -> dict[str, object]:
    """Send one request at a time with random pauses around `pace_ms`. Return the times of requests and responses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", parameters.port)
    moments: list[tuple[float, float]] = []
    for request in requests:
        await asyncio.sleep(parameters.pace_ms / 1000 * random.uniform(0.3, 1.7))
        sent = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        answered = time.monotonic()
        if head[9:12] != b"202":
            raise RuntimeError(head.decode())
        moments.append((sent, answered))
    writer.close()
    return {"moments": moments}


def main() -> None:
    parameters = msgspec.json.decode(sys.argv[1], type=LoadParameters)
    gc.disable()
    if parameters.pause_ms:
        result = uvloop.run(send_steadily(parameters))
    else:
        requests = list(signed_requests(parameters.path, parameters.run, parameters.requests))
        result = uvloop.run((send_sporadically if parameters.pace_ms else saturate)(parameters, requests))
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
