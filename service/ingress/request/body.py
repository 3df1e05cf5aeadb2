"""Read a request body within limits, enforced while the body streams and decompresses.

The bodies of all requests together have a limit as well, to bound the memory of a pod.
"""

from litestar.types import Receive

from service.errors import Rejection, WaybillError
from service.ingress.http.problems import retry_later
from service.ingress.request.decompression import Decompressor


class ClientDisconnect(WaybillError):
    """The sender closed the connection before the end of the body."""

    kind = "disconnected"


class BodyMemoryLimit:
    """Limit of the body bytes that this process holds at once."""

    def __init__(self, bytes_max: int, retry_after_seconds: int) -> None:
        self.left = bytes_max
        self._retry_after_seconds = retry_after_seconds

    def reserve(self, size: int) -> None:
        """Reserve `size` bytes. The caller releases them.

        Raises:
            Rejection: 503 `too_many_requests`, fewer bytes are left; none are reserved.
        """
        if size > self.left:
            detail = "Too many large deliveries are in progress."
            raise retry_later("too_many_requests", detail, self._retry_after_seconds)
        self.left -= size


class BodyReservation:
    """Reservation of one request: `reserve` while reading, `release` at its end.

    `decompressed_bytes` counts the body bytes after decompression, reserved or not.
    """

    __slots__ = ("_limit", "decompressed_bytes", "size")

    def __init__(self, limit: BodyMemoryLimit) -> None:
        self._limit = limit
        self.size = self.decompressed_bytes = 0

    def reserve(self, size: int) -> None:
        """Reserve `size` more bytes. Raises what `BodyMemoryLimit.reserve` raises."""
        self._limit.reserve(size)
        self.size += size

    def release(self) -> None:
        """Release all reserved bytes."""
        self._limit.left += self.size
        self.size = 0


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
        Rejection: 413, declared, sent or decompressed size above `bytes_max`; 400, invalid compression; 503, too many
            body bytes in memory.
        ClientDisconnect: the sender closed the connection.
    """
    if _declares_too_much(declared_length, bytes_max):
        raise payload_too_large(bytes_max)
    chunks: list[bytes] = []
    sent = size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect("the sender closed the connection before the end of the body")
        chunk = message["body"]
        sent += len(chunk)
        if sent > bytes_max:
            raise payload_too_large(bytes_max)
        if decompressor is not None and chunk:
            chunk = decompressor.feed(chunk, bytes_max - size)
        size += len(chunk)
        # Count before the limit check: a rejected body was decompressed, too.
        reservation.decompressed_bytes = size
        if size > bytes_max:
            raise payload_too_large(bytes_max)
        reservation.reserve(len(chunk))
        if chunk:
            chunks.append(chunk)
        if not message["more_body"]:
            break
    if decompressor is not None and sent:
        decompressor.finish()
    return b"".join(chunks)  # does not copy a single chunk
