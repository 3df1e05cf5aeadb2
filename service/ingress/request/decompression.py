"""Compressed bodies, inflated piece by piece under the limit of the body, so that a bomb ends where it would go off.

Every call says how much more may come out; the decoders stop there by themselves, however small what came in was. One
stream makes a body: members chained behind it would be cheap to send and dear to open.
"""

import sys
import zlib
from typing import Protocol

from service.errors import Rejection

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPTED_ENCODINGS = "gzip, deflate, zstd"
"""What Accept-Encoding says to a sender that chose another coding (RFC 9110, 12.5.3)."""

WINDOW_LOG_MAX = 23
"""Eight megabytes: the most that zstd may ask for as a content coding (RFC 9659)."""

_ZLIB_HEAD_BYTES = 2


class Decompressor(Protocol):
    """One body's decoder."""

    def feed(self, piece: bytes, bytes_max: int) -> bytes:
        """Give what `piece` unfolds to: at most `bytes_max` bytes and one more, which tells that there is no room.

        Raises:
            Rejection: 400 `malformed_payload`: the bytes are not of this coding, or go on behind its end.
        """
        ...

    def finish(self) -> None:
        """See that the stream came to its end.

        Raises:
            Rejection: 400 `malformed_payload`.
        """
        ...


def decompressor_for(encoding: str | None) -> Decompressor | None:
    """Make the decoder that a Content-Encoding asks for, None where the body comes as it is.

    Raises:
        Rejection: 415, another coding, or several at once.
    """
    coding = (encoding or "").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding in {"gzip", "x-gzip"}:
        return _Zlib(zlib.MAX_WBITS | 16)
    if coding == "deflate":
        return _Zlib(None)
    if coding == "zstd":
        return _Zstd()
    detail = f"Send the body as it is, or with one Content-Encoding of {ACCEPTED_ENCODINGS}."
    raise Rejection(415, "unsupported_media_type", detail, {"accept-encoding": ACCEPTED_ENCODINGS})


class _Zlib:
    """gzip, and deflate: zlib's format by the standard (RFC 9110, 8.4.1.2), bare by the habit of some senders."""

    def __init__(self, window_bits: int | None) -> None:
        self._decoder = None if window_bits is None else zlib.decompressobj(window_bits)
        self._head: bytes = b""

    def feed(self, piece: bytes, bytes_max: int) -> bytes:
        decoder = self._decoder
        if decoder is None:
            piece = self._head + piece
            if len(piece) < _ZLIB_HEAD_BYTES:
                self._head = piece
                return b""
            decoder = self._decoder = zlib.decompressobj(zlib.MAX_WBITS if _has_zlib_head(piece) else -zlib.MAX_WBITS)
        try:
            inflated = decoder.decompress(piece, bytes_max + 1)
        except zlib.error as error:
            raise _broken() from error
        if decoder.unused_data:
            raise _broken()
        return inflated

    def finish(self) -> None:
        if self._decoder is None or not self._decoder.eof:
            raise _broken()


class _Zstd:
    def __init__(self) -> None:
        self._decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})

    def feed(self, piece: bytes, bytes_max: int) -> bytes:
        try:
            inflated = self._decoder.decompress(piece, bytes_max + 1)
        except (zstd.ZstdError, EOFError) as error:
            raise _broken() from error
        if self._decoder.eof and self._decoder.unused_data:
            raise _broken()
        return inflated

    def finish(self) -> None:
        if not self._decoder.eof:
            raise _broken()


def _has_zlib_head(piece: bytes) -> bool:
    """Whether two bytes begin a zlib stream (RFC 1950, 2.2): method 8, and a multiple of 31."""
    return piece[0] & 0x0F == 8 and (piece[0] << 8 | piece[1]) % 31 == 0


def _broken() -> Rejection:
    return Rejection(400, "malformed_payload", "The body is not what its Content-Encoding says: one stream, whole.")
