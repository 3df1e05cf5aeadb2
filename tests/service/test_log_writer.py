"""Writers of log lines: limit of the buffer, order, blocked and closed pipes, and the end of the process."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from msgspec import Struct

from service.log_writer import ATOMIC_WRITE_BYTES_MAX, BufferedLineWriter, DirectLineWriter
from service.metrics.families import LOG_LINES_DROPPED
from tests.waiting import PATIENCE_SECONDS


class Pipe(Struct):
    """A pipe. `fill` blocks further writes until `drain`."""

    reader: int
    writer: int

    def fill(self) -> None:
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"-" * ATOMIC_WRITE_BYTES_MAX)
        os.set_blocking(self.writer, True)

    def drain(self) -> None:
        """Read the bytes of `fill`."""
        os.set_blocking(self.reader, False)
        received = os.read(self.reader, 65_536)
        assert received.strip(b"-") == b""

    def read(self) -> bytes:
        os.set_blocking(self.reader, False)
        with contextlib.suppress(BlockingIOError):
            return os.read(self.reader, 1_000_000)
        return b""


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    pipe = Pipe(reader, writer)
    yield pipe
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)


def dropped_lines() -> float:
    return LOG_LINES_DROPPED.values[()]


def test_buffered_lines_keep_their_order(pipe: Pipe) -> None:
    writer = BufferedLineWriter(pipe.writer, lambda _: None)
    lines = [b"%d\n" % number for number in range(5_000)]
    for line in lines:
        writer.write(line)
    assert writer.flush(PATIENCE_SECONDS)
    assert pipe.read() == b"".join(lines)


def test_lines_of_several_threads_are_complete(pipe: Pipe) -> None:
    writer = BufferedLineWriter(pipe.writer, lambda _: None)

    def write_all(letter: bytes) -> None:
        for _ in range(500):
            writer.write(letter * 20 + b"\n")

    threads = [threading.Thread(target=write_all, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(PATIENCE_SECONDS)
    lines = pipe.read().splitlines()
    assert [lines.count(letter * 20) for letter in (b"a", b"b", b"c")] == [500] * 3
    assert len(lines) == 1_500


def test_writes_contain_complete_lines_within_the_atomic_size() -> None:
    # Each read of a packet pipe returns one write.
    reader, writer_fd = os.pipe2(os.O_DIRECT)
    pipe = Pipe(reader, writer_fd)
    writer = BufferedLineWriter(writer_fd, lambda _: None)
    lines = [b"x" * (100 + 37 * number % 1_500) + b"\n" for number in range(15)]
    lines.append(b"y" * (ATOMIC_WRITE_BYTES_MAX - 1) + b"\n")
    for line in lines:
        writer.write(line)
    assert writer.flush(PATIENCE_SECONDS)
    os.close(writer_fd)
    writes = [pipe.read()]
    while writes[-1]:
        writes.append(pipe.read())
    os.close(reader)
    assert b"".join(writes) == b"".join(lines)
    assert all(write.endswith(b"\n") and len(write) <= ATOMIC_WRITE_BYTES_MAX for write in writes[:-1])
    assert len(writes) - 1 < len(lines)


@pytest.mark.parametrize(("lines", "dropped"), [(10, 0), (11, 1), (25, 15)])
def test_lines_beyond_the_limit_of_the_buffer_are_dropped_and_counted(pipe: Pipe, lines: int, dropped: int) -> None:
    before = dropped_lines()
    reported: list[int] = []
    pipe.fill()
    writer = BufferedLineWriter(pipe.writer, reported.append, bytes_max=100)
    for number in range(lines):
        writer.write(b"line %04d\n" % number)
    assert dropped_lines() - before == dropped
    assert reported == []
    pipe.drain()
    assert writer.flush(PATIENCE_SECONDS)
    assert pipe.read() == b"".join(b"line %04d\n" % number for number in range(10))
    assert reported == ([dropped] if dropped else [])
    writer.write(b"later\n")
    assert writer.flush(PATIENCE_SECONDS)
    assert pipe.read() == b"later\n"
    assert reported == ([dropped] if dropped else [])


def test_write_and_flush_return_while_the_pipe_is_blocked(pipe: Pipe) -> None:
    pipe.fill()
    writer = BufferedLineWriter(pipe.writer, lambda _: None)
    started = time.monotonic()
    for _ in range(1_000):
        writer.write(b"line\n")
    assert not writer.flush(0.05)
    assert time.monotonic() - started < PATIENCE_SECONDS / 3
    pipe.drain()
    assert writer.flush(PATIENCE_SECONDS)
    assert pipe.read() == b"line\n" * 1_000


def test_full_non_blocking_pipe_is_waited_for(pipe: Pipe) -> None:
    pipe.fill()
    os.set_blocking(pipe.writer, False)
    writer = BufferedLineWriter(pipe.writer, lambda _: None)
    writer.write(b"line\n")
    assert not writer.flush(0.05)
    pipe.drain()
    assert writer.flush(PATIENCE_SECONDS)
    assert pipe.read() == b"line\n"


def test_lines_for_a_closed_pipe_are_counted(pipe: Pipe) -> None:
    before = dropped_lines()
    reported: list[int] = []
    os.close(pipe.reader)
    pipe.reader = -1
    writer = BufferedLineWriter(pipe.writer, reported.append, bytes_max=100)
    for _ in range(30):
        writer.write(b"line\n")
        assert writer.flush(PATIENCE_SECONDS)
    assert dropped_lines() - before == 30
    assert reported == []


def run(code: str, stdout: int = subprocess.PIPE) -> "subprocess.CompletedProcess[bytes]":
    """Run code after `configure` with a buffer."""
    start = "import os, sys\nfrom service.log import configure, get_logger\nconfigure('service', buffered=True)\n"
    return subprocess.run(
        [sys.executable, "-c", start + code],
        check=False,
        timeout=PATIENCE_SECONDS,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "exit_code", "last"),
    [("", 0, "thing.happened"), ("sys.exit(3)", 3, "thing.happened"), ("raise RuntimeError", 1, "process.failed")],
)
def test_buffered_lines_are_written_at_exit(end: str, exit_code: int, last: str) -> None:
    done = run(f"for number in range(1000): get_logger().info('thing.happened', number=number)\n{end}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == exit_code
    assert [line["number"] for line in lines if line["message"] == "thing.happened"] == list(range(1_000))
    assert lines[-1]["message"] == last
    assert done.stderr == b""


@pytest.mark.slow
def test_process_ends_while_its_stdout_is_blocked(pipe: Pipe) -> None:
    pipe.fill()
    done = run("get_logger().info('thing.happened')\nsys.exit(3)", stdout=pipe.writer)
    assert (done.returncode, done.stderr) == (3, b"")


@pytest.mark.slow
def test_dropped_lines_are_logged() -> None:
    done = run(
        "import service.log_writer\n"
        "configure('service', line_bytes_max=2 * service.log_writer.BUFFER_BYTES_MAX, buffered=True)\n"
        "get_logger().info('thing.dropped', text='x' * service.log_writer.BUFFER_BYTES_MAX)\n"
        "get_logger().info('thing.happened')",
    )
    happened, dropped = [json.loads(line) for line in done.stdout.splitlines()]
    assert happened["message"] == "thing.happened"
    assert (dropped["message"], dropped["level"], dropped["component"]) == ("log.lines_dropped", "warning", "service")
    assert dropped["lines"] == 1


def test_closed_pipe_loses_the_line_only() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    DirectLineWriter(writer).write(b"line\n")
    os.close(writer)


def test_slow_reader_gets_the_complete_line() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = bytearray()
    line = b"x" * 300_000 + b"\n"

    def take_all() -> None:
        while len(received) < len(line):
            received.extend(os.read(reader, 65_536))

    thread = threading.Thread(target=take_all)
    thread.start()
    DirectLineWriter(writer).write(line)
    thread.join(10)
    assert bytes(received) == line
    os.close(reader)
    os.close(writer)


def test_blocked_pipe_delays_a_line_for_a_limited_time() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65_536)
    started = time.monotonic()
    DirectLineWriter(writer, stall_seconds_max=0.05).write(b"line\n")
    assert time.monotonic() - started < 20
    os.close(reader)
    os.close(writer)
