"""Decompression of response bodies in pieces, so that the limit of bytes also stops a decompression bomb."""

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPT_ENCODING = "gzip, deflate, zstd"
ZSTD_WINDOW_LOG_MAX = 23
"""Largest window of 8 MiB (RFC 9659), so that a small response cannot demand 128 MiB."""

MEMBERS_MAX = 1_000
"""Largest number of members of a body. Each costs time, also if it is empty."""

UNSUPPORTED = frozenset({"br", "compress", "x-compress"})
"""Encodings that no request of this client accepts. Other unknown names are no encodings: the body is not changed."""


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class BodyDecompressor:
    """Decompressor of one body. A body may have several members (RFC 1952, 2.2; RFC 8878, 3.1)."""

    __slots__ = ("_members", "_open", "_stream")

    def __init__(self, open_stream: Callable[[bytes], _Stream]) -> None:
        self._open = open_stream
        self._members = 0
        self._stream: _Stream | None = None

    @property
    def is_complete(self) -> bool:
        """False in the middle of a member. A body without a byte is complete."""
        return self._stream is None or self._stream.eof

    def feed(self, piece: bytes, size_max: int) -> bytes:
        """Return the decompressed piece, or `size_max` bytes of it if it is larger.

        Raises:
            ValueError: The piece is not compressed in this encoding, or the body has too many members.
        """
        found: list[bytes] = []
        while piece and size_max > 0:
            if self._stream is None or self._stream.eof:
                self._members += 1
                if self._members > MEMBERS_MAX:
                    raise ValueError("the body has too many members")
                self._stream = self._open(piece)
            try:
                part = self._stream.decompress(piece, size_max)
            except (zlib.error, zstd.ZstdError) as error:
                raise ValueError("the body is not compressed in its encoding") from error
            found.append(part)
            size_max -= len(part)
            piece = self._stream.unused_data if self._stream.eof else b""
        return b"".join(found)


def decompressor(encoding: str) -> BodyDecompressor | None:
    """Return the decompressor for a value of Content-Encoding; None if the body is not compressed.

    Raises:
        ValueError: The encoding is not supported.
    """
    name = encoding.strip().lower()
    if name in UNSUPPORTED:
        raise ValueError("the encoding is not supported")
    open_stream = _STREAMS.get(name)
    return None if open_stream is None else BodyDecompressor(open_stream)


def _gzip(_: bytes) -> _Stream:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _deflate(start: bytes) -> _Stream:
    """Open a zlib stream (RFC 1950), or the bare DEFLATE stream that some servers send."""
    return zlib.decompressobj(zlib.MAX_WBITS if start[0] & 0x0F == 8 else -zlib.MAX_WBITS)


def _zstd(_: bytes) -> _Stream:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX})


_STREAMS: dict[str, Callable[[bytes], _Stream]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
