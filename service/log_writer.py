"""Writers of log lines: direct for commands, buffered for long-running processes.

A blocked standard output must not stop a service. `BufferedLineWriter` therefore only appends to a buffer, and a thread
writes it. A full buffer drops lines and counts them. One `os.write` writes complete lines of at most `PIPE_BUF` bytes,
so that lines of several processes on one pipe do not mix.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

from service.metrics.families import LOG_LINES_DROPPED

ATOMIC_WRITE_BYTES_MAX = 4_096
"""Size of an atomic write to a pipe (PIPE_BUF)."""

STALL_SECONDS_MAX = 1.0
"""Longest wait of the direct writer for a full non-blocking pipe before a line is dropped."""

BUFFER_BYTES_MAX = 4 * 1_048_576
"""Size of the buffer: about 10,000 lines."""

BATCH_SECONDS = 0.01
"""Pause of the thread between two batches. One wake-up of the thread per line would slow the event loop down."""

FLUSH_SECONDS_MAX = 2.0
"""Longest wait for the buffer at the end of the process."""


class DirectLineWriter:
    """Writes each line at once. A closed pipe loses lines, but does not stop the process.

    Without `stall_seconds_max`, a full non-blocking pipe is waited for without limit.
    """

    def __init__(self, fd: int, stall_seconds_max: float | None = STALL_SECONDS_MAX) -> None:
        self.fd = fd
        self.stall_seconds_max = stall_seconds_max

    def write(self, line: bytes) -> bool:
        """Write a line. Return False if it is lost."""
        try:
            while line:
                line = line[self._write_some(line) :]
        except OSError:
            return False
        return True

    debug = info = warning = error = critical = write

    def _write_some(self, line: bytes) -> int:
        try:
            return os.write(self.fd, line)
        except BlockingIOError:
            _, ready, _ = select.select([], [self.fd], [], self.stall_seconds_max)
            if not ready:
                raise
            return 0


class BufferedLineWriter:
    """Appends lines to a buffer, which a daemon thread writes to `fd` in the same order.

    `report_dropped` logs the number of dropped lines. The thread calls it after a successful write.
    """

    def __init__(self, fd: int, report_dropped: Callable[[int], object], bytes_max: int = BUFFER_BYTES_MAX) -> None:
        self._direct = DirectLineWriter(fd, stall_seconds_max=None)
        self._report_dropped = report_dropped
        self._bytes_max = bytes_max
        self._bytes = 0
        self._dropped = 0
        # A lock and a queue that are reentrant: the garbage collector can log a line while a line is appended.
        self._lock = threading.RLock()
        self._buffer: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Append a line. A line that exceeds the limit of the buffer is dropped and counted."""
        with self._lock:
            buffered_bytes = self._bytes + len(line)
            if buffered_bytes <= self._bytes_max:
                self._bytes = buffered_bytes
                self._buffer.put(line)
            else:
                self._count_dropped(1)

    debug = info = warning = error = critical = write

    def flush(self, seconds_max: float = FLUSH_SECONDS_MAX) -> bool:
        """Wait until all appended lines are written. Return False after `seconds_max`."""
        written = threading.Event()
        self._buffer.put(written)
        return written.wait(seconds_max)

    def _run(self) -> None:
        while True:
            first = self._buffer.get()
            self._write_batch([first, *(self._buffer.get() for _ in range(self._buffer.qsize()))])
            time.sleep(BATCH_SECONDS)

    def _write_batch(self, batch: list[bytes | threading.Event]) -> None:
        lines = [line for line in batch if isinstance(line, bytes)]
        written = [self._write_together(lines[start:end]) for start, end in _spans(lines)]
        reported = any(written) and self._report()
        for waiting in batch:
            if isinstance(waiting, threading.Event):
                # A report is behind the event in the buffer, and `flush` must wait for it, too.
                self._buffer.put(waiting) if reported else waiting.set()

    def _write_together(self, lines: list[bytes]) -> bool:
        together = b"".join(lines)
        written = self._direct.write(together)
        with self._lock:
            self._bytes -= len(together)
            if not written:
                self._count_dropped(len(lines))
        return written

    def _report(self) -> bool:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._report_dropped(dropped)
        return dropped > 0

    def _count_dropped(self, lines: int) -> None:
        self._dropped += lines
        LOG_LINES_DROPPED.inc(count=lines)


def _spans(lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of groups of lines that fit into one atomic write."""
    start = size = 0
    for index, line in enumerate(lines):
        if index > start and size + len(line) > ATOMIC_WRITE_BYTES_MAX:
            yield start, index
            start, size = index, 0
        size += len(line)
    if lines:
        yield start, len(lines)
