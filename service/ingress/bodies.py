"""Reading a body from the wire: counted while it streams, so that no more than the limit is ever held."""

from litestar.types import Receive

from service.errors import Refusal, WaybillError


class Disconnected(WaybillError):
    """The sender left before its body was whole; nobody is there to be answered."""

    kind = "disconnected"


def too_large(bytes_max: int) -> Refusal:
    """Make the refusal of a body above the limit."""
    return Refusal(413, "too_large", f"The body is larger than {bytes_max} bytes.")


async def read_body(receive: Receive, declared_length: str | None, bytes_max: int) -> bytes:
    """Read the whole body; `declared_length` is the Content-Length, if there is one.

    Raises:
        Refusal: 413, more than `bytes_max`, declared or sent.
        Disconnected: the sender left.
    """
    if declared_length is not None and declared_length.isdecimal() and int(declared_length[:20]) > bytes_max:
        raise too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected("the sender left before its body was whole")
        chunk = message["body"]
        size += len(chunk)
        if size > bytes_max:
            raise too_large(bytes_max)
        if not message["more_body"]:
            return b"".join(chunks) + chunk if chunks else chunk
        chunks.append(chunk)
