"""Read a request body within limits, enforced while the body streams and decompresses.

The bodies of all requests together have a limit as well, to bound the memory of a pod. At that limit the body that has
been incomplete for the longest time is rejected: a client that holds bodies open rejects no other delivery.
"""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from litestar.types import Receive

from service.errors import Rejection, WaybillError
from service.ingress.http.fast_path import FastRequestCycle
from service.ingress.http.problems import retry_later
from service.ingress.request.decompression import Decompressor, decompressor_for
from service.settings import Settings
from service.shared_timeouts import SharedTimeout


class ClientDisconnect(WaybillError):
    """The sender closed the connection before the end of the body."""

    kind = "disconnected"


class BodyMemoryLimit:
    """Limit of the body bytes that this process holds at once."""

    def __init__(self, bytes_max: int, retry_after_seconds: int) -> None:
        self.left = bytes_max
        self.incomplete: dict[BodyReservation, None] = {}
        """Reservations of bodies that are being read, the oldest first."""
        self._retry_after_seconds = retry_after_seconds

    def reserve(self, reservation: "BodyReservation", size: int) -> None:
        """Reserve `size` bytes, taking those of the oldest incomplete bodies if necessary.

        Raises:
            Rejection: 503 `too_many_requests`, fewer bytes are left; none are reserved.
        """
        while size > self.left and self.incomplete:
            oldest = next(iter(self.incomplete))
            if oldest is reservation:
                break
            oldest.evict()
        if size > self.left:
            raise self.rejection()
        self.left -= size
        reservation.size += size

    def rejection(self) -> Rejection:
        """Return the rejection of a body for which no memory is left."""
        return retry_later("too_many_requests", "Too many large deliveries are in progress.", self._retry_after_seconds)


class BodyReservation:
    """Reservation of one request: `reserve` while reading, `release` at its end.

    `sent_bytes` counts the body bytes as sent, reserved or not.
    """

    __slots__ = ("_limit", "_task", "evicted", "sent_bytes", "size")

    def __init__(self, limit: BodyMemoryLimit) -> None:
        self._limit = limit
        self._task: asyncio.Task[object] | None = None
        self.evicted = False
        self.size = self.sent_bytes = 0

    def reserve(self, size: int) -> None:
        """Reserve `size` more bytes. Raises the errors of `BodyMemoryLimit.reserve`."""
        self._limit.reserve(self, size)

    @contextmanager
    def reading(self) -> Generator[None]:
        """Read the body inside this context, which ends early if another request takes the bytes.

        Raises:
            Rejection: 503 `too_many_requests`, another request took the bytes.
        """
        self._task = asyncio.current_task()
        self._limit.incomplete[self] = None
        try:
            yield
        except asyncio.CancelledError:
            if not self.evicted or (self._task is not None and self._task.uncancel()):
                raise
            raise self._limit.rejection() from None
        finally:
            self._limit.incomplete.pop(self, None)

    def evict(self) -> None:
        """Release the bytes of an incomplete body and end its reading."""
        self.evicted = True
        self._limit.incomplete.pop(self, None)
        self.release()
        if self._task is not None:
            self._task.cancel()

    def release(self) -> None:
        """Release all reserved bytes."""
        self._limit.left += self.size
        self.size = 0


class BodyReader:
    """Reads the bodies of one process within the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._bytes_max = settings.body_bytes_max
        self._memory = BodyMemoryLimit(settings.in_flight_body_bytes_max, settings.retry_after_seconds)
        self._timeout = SharedTimeout(settings.body_timeout_seconds)

    def reservation(self) -> BodyReservation:
        """Return the reservation of a new request."""
        return BodyReservation(self._memory)

    def take(
        self, headers: Mapping[str, str], reservation: BodyReservation, cycle: FastRequestCycle | None
    ) -> bytes | None:
        """Return a body that has arrived completely, None for an incomplete or compressed one.

        Raises:
            Rejection: 413, the body is too large; 503, too many body bytes in memory.
        """
        if cycle is None or "content-encoding" in headers:
            return None
        body = cycle.whole_body()
        if body is None:
            return None
        reservation.sent_bytes = len(body)
        if len(body) > self._bytes_max:
            raise payload_too_large(self._bytes_max)
        reservation.reserve(len(body))
        return body

    async def read(
        self, headers: Mapping[str, str], reservation: BodyReservation, receive: Receive, *, limited: bool
    ) -> bytes:
        """Read a body within the timeout; `limited` is true for a client above its rate limit.

        Raises:
            Rejection: 408, the body is late; and what `read_body` raises.
            ClientDisconnect: the sender closed the connection.
        """
        decompressor = decompressor_for(headers.get("content-encoding"), limited=limited)
        length = headers.get("content-length")
        try:
            with self._timeout.start(), reservation.reading():
                return await read_body(receive, length, decompressor, self._bytes_max, reservation)
        except TimeoutError:
            detail = f"The body did not arrive within {self._timeout.seconds:g} s. Send it faster."
            raise Rejection(408, "request_timeout", detail, {"connection": "close"}) from None


def payload_too_large(bytes_max: int) -> Rejection:
    """Build the rejection of a body above the limit."""
    return Rejection(413, "payload_too_large", f"The body is larger than {bytes_max} bytes. Send a smaller one.")


def _declares_too_much(length: str | None, bytes_max: int) -> bool:
    # Cut at twenty digits, above any limit: int() raises ValueError for thousands of digits.
    return length is not None and length.isdecimal() and int(length[:20]) > bytes_max


async def read_body(
    receive: Receive,
    declared_length: str | None,
    decompressor: Decompressor | None,
    bytes_max: int,
    reservation: BodyReservation,
) -> bytes:
    """Read and decompress the whole body; `declared_length` is the value of Content-Length, if sent.

    Raises:
        Rejection: 413, declared, sent or decompressed size above `bytes_max`, or too large an expansion; 400, invalid
            compression; 503, too many body bytes in memory.
        ClientDisconnect: the sender closed the connection.
    """
    if _declares_too_much(declared_length, bytes_max):
        raise payload_too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect("the sender closed the connection before the end of the body")
        chunk = message["body"]
        reservation.sent_bytes += len(chunk)
        if reservation.sent_bytes > bytes_max:
            raise payload_too_large(bytes_max)
        if decompressor is not None and chunk:
            chunk = decompressor.feed(chunk, bytes_max - size)
        size += len(chunk)
        if size > bytes_max:
            raise payload_too_large(bytes_max)
        reservation.reserve(len(chunk))
        if chunk:
            chunks.append(chunk)
        if not message["more_body"]:
            break
    if decompressor is not None and reservation.sent_bytes:
        decompressor.finish()
    return b"".join(chunks)  # does not copy a single chunk
