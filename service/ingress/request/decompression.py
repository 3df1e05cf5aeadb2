"""Streaming decompression of bodies within the body limit, so that decompression bombs are rejected.

Every call passes the maximum output size, and the decoders stop there. A body is exactly one compressed stream:
concatenated members are rejected, since they are small to send and expensive to decompress.
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
"""Accept-Encoding of the 415 response to an unsupported coding (RFC 9110, 12.5.3)."""

WINDOW_LOG_MAX = 23
"""8 MiB: the maximum window of zstd as a content coding (RFC 9659)."""

EXPANSION_MAX, SMALL_BYTES = 50, 131_072
"""A body may expand to 50 times its compressed bytes, and in any case to 128 KiB."""

LIMITED_EXPANSION_MAX, LIMITED_SMALL_BYTES = 20, 16_384
"""The same for a client above its rate limit: verification of its deliveries should cost little."""

_ZLIB_HEADER_BYTES = 2


class Decompressor(Protocol):
    """Decoder of one body."""

    def feed(self, chunk: bytes, bytes_max: int) -> bytes:
        """Decompress `chunk`.

        Returns:
            At most `bytes_max` + 1 bytes. The extra byte shows that the limit is exceeded.

        Raises:
            Rejection: 400 `malformed_payload`, invalid compression or bytes after the end of the stream; 413, too
                large an expansion.
        """
        ...

    def finish(self) -> None:
        """Check that the stream is complete.

        Raises:
            Rejection: 400 `malformed_payload`, the stream is truncated.
        """
        ...


def decompressor_for(encoding: str | None, *, limited: bool = False) -> Decompressor | None:
    """Return the decoder for a Content-Encoding, None for an uncompressed body.

    `limited` is true for a client above its rate limit.

    Raises:
        Rejection: 415, an unsupported coding, or several codings.
    """
    coding = (encoding or "").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding in {"gzip", "x-gzip"}:
        return _LimitedExpansion(_Zlib(zlib.MAX_WBITS | 16), limited=limited)
    if coding == "deflate":
        return _LimitedExpansion(_Zlib(None), limited=limited)
    if coding == "zstd":
        return _LimitedExpansion(_Zstd(), limited=limited)
    detail = f"The Content-Encoding is not supported. Send the body uncompressed, or as one of {ACCEPTED_ENCODINGS}."
    raise Rejection(415, "unsupported_media_type", detail, {"accept-encoding": ACCEPTED_ENCODINGS})


class _LimitedExpansion:
    """Decoder that stops at the largest expansion."""

    def __init__(self, decoder: Decompressor, *, limited: bool) -> None:
        self._decoder = decoder
        self._expansion, self._small = (
            (LIMITED_EXPANSION_MAX, LIMITED_SMALL_BYTES) if limited else (EXPANSION_MAX, SMALL_BYTES)
        )
        self._compressed = self._size = 0

    def feed(self, chunk: bytes, bytes_max: int) -> bytes:
        self._compressed += len(chunk)
        left = max(self._small, self._expansion * self._compressed) - self._size
        decompressed = self._decoder.feed(chunk, min(bytes_max, left))
        self._size += len(decompressed)
        if len(decompressed) > left:
            detail = f"The body expands to more than {self._expansion} times its bytes. Send it uncompressed."
            raise Rejection(413, "payload_too_large", detail)
        return decompressed

    def finish(self) -> None:
        self._decoder.finish()


class _Zlib:
    """gzip and deflate. Deflate has a zlib header (RFC 9110, 8.4.1.2), which some senders omit."""

    def __init__(self, window_bits: int | None) -> None:
        self._decoder = None if window_bits is None else zlib.decompressobj(window_bits)
        self._header: bytes = b""

    def feed(self, chunk: bytes, bytes_max: int) -> bytes:
        decoder = self._decoder
        if decoder is None:
            chunk = self._header + chunk
            if len(chunk) < _ZLIB_HEADER_BYTES:
                self._header = chunk
                return b""
            decoder = self._decoder = zlib.decompressobj(zlib.MAX_WBITS if _has_zlib_header(chunk) else -zlib.MAX_WBITS)
        try:
            decompressed = decoder.decompress(chunk, bytes_max + 1)
        except zlib.error as error:
            raise _malformed() from error
        if decoder.unused_data:
            raise _malformed()
        return decompressed

    def finish(self) -> None:
        if self._decoder is None or not self._decoder.eof:
            raise _malformed()


class _Zstd:
    def __init__(self) -> None:
        self._decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})

    def feed(self, chunk: bytes, bytes_max: int) -> bytes:
        try:
            decompressed = self._decoder.decompress(chunk, bytes_max + 1)
        except (zstd.ZstdError, EOFError) as error:
            raise _malformed() from error
        if self._decoder.eof and self._decoder.unused_data:
            raise _malformed()
        return decompressed

    def finish(self) -> None:
        if not self._decoder.eof:
            raise _malformed()


def _has_zlib_header(chunk: bytes) -> bool:
    """Return true if two bytes begin a zlib stream (RFC 1950, 2.2): method 8, and a multiple of 31."""
    return chunk[0] & 0x0F == 8 and (chunk[0] << 8 | chunk[1]) % 31 == 0


def _malformed() -> Rejection:
    detail = "The body does not match its Content-Encoding. Send exactly one complete compressed stream."
    return Rejection(400, "malformed_payload", detail)
