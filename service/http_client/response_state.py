"""State of the response to one call of the HTTP client."""

import asyncio

from msgspec import Struct, field

from service.http_client.decompression import BodyDecompressor
from service.http_client.failures import Failure


class ResponseState(Struct):
    """State of one response. `status` is 0 before the status line, and `headers` and body have what was received.

    Without `is_kept_alive` the connection ends with the response. With `is_until_close` its end is that of the body.
    """

    future: "asyncio.Future[None]"
    bytes_max: int
    is_head: bool
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    pieces: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    decompressor: BodyDecompressor | None = None
    failure: Failure | None = None
    header_bytes: int = 0
    header_count: int = 0
    interim_count: int = 0
    unparsed_bytes: int = 0
    is_started: bool = False
    is_head_complete: bool = False
    is_complete: bool = False
    is_kept_alive: bool = False
    is_until_close: bool = False

    @property
    def body(self) -> bytes:
        """Decompressed body, as far as it was received."""
        if len(self.pieces) != 1:
            self.pieces = [b"".join(self.pieces)]
        return self.pieces[0]

    def end(self, failure: Failure | None) -> None:
        """Wake the call."""
        self.failure = failure
        if not self.future.done():
            self.future.set_result(None)
