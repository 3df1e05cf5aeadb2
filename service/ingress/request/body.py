"""Reading a body from the wire: counted while it streams and unfolds, so that no more than the limit is ever held.

What all requests hold together is bounded as well: many senders at their own limit at once would be too much for a pod.
"""

from litestar.types import Receive

from service.errors import Rejection, WaybillError
from service.ingress.http.problems import retry_later
from service.ingress.request.decompression import Decompressor


class ClientDisconnect(WaybillError):
    """The sender left before its body was whole; nobody is there to be answered."""

    kind = "disconnected"


class BodyMemoryLimit:
    """The bytes of bodies that this process may hold at once."""

    def __init__(self, bytes_max: int, retry_after_seconds: int) -> None:
        self.left = bytes_max
        self._retry_after_seconds = retry_after_seconds

    def reserve(self, size: int) -> None:
        """Take that many bytes; whoever did gives them back.

        Raises:
            Rejection: 503 `too_many_requests`, there is no room; nothing was taken.
        """
        if size > self.left:
            detail = "Too many large deliveries are being taken in at once."
            raise retry_later("too_many_requests", detail, self._retry_after_seconds)
        self.left -= size


class BodyReservation:
    """One request's part of the room: `reserve` while reading, `release` at its end.

    `unfolded` is how much of a body was made of what was sent, whether there was room for it or not.
    """

    __slots__ = ("_limit", "size", "unfolded")

    def __init__(self, limit: BodyMemoryLimit) -> None:
        self._limit = limit
        self.size = self.unfolded = 0

    def reserve(self, size: int) -> None:
        """Take more. Raises Refusal, as `BodyMemoryLimit.reserve`."""
        self._limit.reserve(size)
        self.size += size

    def release(self) -> None:
        """Let go of all of it."""
        self._limit.left += self.size
        self.size = 0


def payload_too_large(bytes_max: int) -> Rejection:
    """Make the refusal of a body above the limit."""
    return Rejection(413, "payload_too_large", f"The body is larger than {bytes_max} bytes.")


def _declares_more(length: str | None, bytes_max: int) -> bool:
    # Twenty digits are more than any limit, and of thousands int() raises ValueError.
    return length is not None and length.isdecimal() and int(length[:20]) > bytes_max


async def read_body(
    receive: Receive,
    declared_length: str | None,
    inflater: Decompressor | None,
    bytes_max: int,
    portion: BodyReservation,
) -> bytes:
    """Read the whole body, inflated; `declared_length` is the Content-Length, if there is one.

    Raises:
        Rejection: 413, more than `bytes_max`, declared, sent or inflated; 400, not of its coding; 503, no room.
        ClientDisconnect: the sender left.
    """
    if _declares_more(declared_length, bytes_max):
        raise payload_too_large(bytes_max)
    chunks: list[bytes] = []
    sent = size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect("the sender left before its body was whole")
        chunk = message["body"]
        sent += len(chunk)
        if sent > bytes_max:
            raise payload_too_large(bytes_max)
        if inflater is not None and chunk:
            chunk = inflater.feed(chunk, bytes_max - size)
        size += len(chunk)
        # Noted before it is held against the limit: what is refused next has been unfolded all the same.
        portion.unfolded = size
        if size > bytes_max:
            raise payload_too_large(bytes_max)
        portion.reserve(len(chunk))
        if chunk:
            chunks.append(chunk)
        if not message["more_body"]:
            break
    if inflater is not None and sent:
        inflater.finish()
    return b"".join(chunks)  # a single piece is given as it is, not copied
