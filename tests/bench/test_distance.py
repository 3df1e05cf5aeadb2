"""The latency proxy delays data, keeps the order and does not queue."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROUND_TRIP_MS = 50.0
SECONDS_MAX = 60.0
ECHOES = 400


@pytest.fixture
def line(tmp_path: Path, valkey_url: str) -> Iterator[socket.socket]:
    path = tmp_path / "far.sock"
    arguments = [str(path), valkey_url.removeprefix("unix://"), str(ROUND_TRIP_MS)]
    proxy = subprocess.Popen([sys.executable, "-m", "tests.bench.distance", *arguments])
    try:
        with connect(path) as client:
            yield client
    finally:
        proxy.terminate()
        assert proxy.wait(SECONDS_MAX) == 0


def connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SECONDS_MAX)
        try:
            client.connect(str(path))
        except OSError:
            # The path exists before the proxy listens.
            client.close()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return client


def read(line: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += line.recv(65_536)
    return data


def test_response_takes_at_least_the_round_trip(line: socket.socket) -> None:
    for _ in range(5):
        began = time.perf_counter()
        line.sendall(b"PING\r\n")
        assert read(line, 7) == b"+PONG\r\n"
        assert time.perf_counter() - began >= ROUND_TRIP_MS / 1000


def test_concurrent_requests_wait_once_and_keep_their_order(line: socket.socket) -> None:
    began = time.perf_counter()
    for number in range(ECHOES):
        line.sendall(b"*2\r\n$4\r\nECHO\r\n$3\r\n%03d\r\n" % number)
    expected = b"".join(b"$3\r\n%03d\r\n" % number for number in range(ECHOES))
    assert read(line, len(expected)) == expected
    assert time.perf_counter() - began < ECHOES * ROUND_TRIP_MS / 1000 / 2
