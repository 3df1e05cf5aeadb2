"""Compressed bodies: every coding in chunks of any size, decompression bombs, and invalid streams."""

import asyncio
import contextlib
import gzip
import hashlib
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Rejection
from service.ingress.request.body import BodyMemoryLimit, BodyReservation, read_body
from service.ingress.request.decompression import decompressor_for
from tests.examples import examples

LIMIT = 100_000
Compress = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


CODINGS: list[tuple[str, Compress]] = [
    ("gzip", gzip.compress),
    ("X-GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstd.compress),
]


def read(encoding: str | None, chunks: Sequence[bytes], limit: int = LIMIT) -> bytes:
    """Read `chunks` as one body."""
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        + [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def receive() -> Any:
        return next(messages)

    reservation = BodyReservation(BodyMemoryLimit(10 * limit, 5))
    reading = read_body(cast("Any", receive), None, decompressor_for(encoding), limit, reservation)
    return asyncio.run(reading)


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
@given(data=st.binary(min_size=0, max_size=3_000), size=st.integers(1, 4_000))
@settings(max_examples=examples(25))
def test_body_round_trips_for_any_chunk_size(encoding: str, compress: Compress, data: bytes, size: int) -> None:
    assert read(encoding, split(compress(data), size)) == data


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
@pytest.mark.parametrize(("excess", "fits"), [(0, True), (1, False)])
def test_limit_applies_to_the_decompressed_size(encoding: str, compress: Compress, *, excess: int, fits: bool) -> None:
    compressed = split(compress(b"x" * (LIMIT + excess)), 50)
    if fits:
        assert len(read(encoding, compressed)) == LIMIT
        return
    with pytest.raises(Rejection) as caught:
        read(encoding, compressed)
    assert caught.value.code == "payload_too_large"


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
def test_decompression_bomb_is_rejected_within_little_memory_and_time(encoding: str, compress: Compress) -> None:
    bomb = compress(bytes(200_000_000)) if encoding == "zstd" else compress(bytes(50_000_000))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(Rejection) as caught:
        read(encoding, [bomb[:LIMIT]])
    spent = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "payload_too_large"
    assert spent < 0.2
    assert peak < 20 * LIMIT


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
@pytest.mark.parametrize(("limited", "small", "expansion"), [(False, 131_072, 50), (True, 16_384, 20)])
def test_expansion_is_limited(encoding: str, compress: Compress, *, limited: bool, small: int, expansion: int) -> None:
    def expand(data: bytes) -> int:
        decoder = decompressor_for(encoding, limited=limited)
        assert decoder is not None
        return sum(len(decoder.feed(chunk, 10_000_000)) for chunk in split(compress(data), 1_000))

    assert expand(bytes(small)) == small
    random = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(2_000))
    fits = random + bytes(len(random) * (expansion - 2))
    assert expand(fits) == len(fits)
    for data in (bytes(2 * small), random + bytes(len(random) * 2 * expansion)):
        with pytest.raises(Rejection) as caught:
            expand(data)
        assert (caught.value.status, caught.value.code) == (413, "payload_too_large")


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
@pytest.mark.parametrize("corruption", ["truncated", "goes on", "two streams", "another coding"])
def test_body_that_is_not_one_complete_stream_is_rejected(encoding: str, compress: Compress, corruption: str) -> None:
    compressed = compress(b'{"id":"1"}' * 20)
    corrupted = {
        "truncated": compressed[:-3],
        "goes on": compressed + b"x",
        "two streams": compressed + compressed,
        "another coding": b'{"id":"1"}',
    }[corruption]
    for size in (1, 10_000):
        with pytest.raises(Rejection) as caught:
            read(encoding, split(corrupted, size))
        assert (caught.value.status, caught.value.code) == (400, "malformed_payload")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(data=st.binary(max_size=300), size=st.integers(1, 300))
@settings(max_examples=examples(50))
def test_random_bytes_raise_only_rejections(encoding: str, data: bytes, size: int) -> None:
    with contextlib.suppress(Rejection):
        read(encoding, split(data, size))


def test_zstd_window_above_the_standard_is_rejected() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    compressed = compressor.compress(bytes(1_000), zstd.ZstdCompressor.FLUSH_BLOCK) + compressor.flush()
    with pytest.raises(Rejection):
        read("zstd", [compressed])


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip, zstd", "compress", "*", "é"])
def test_unsupported_codings_are_rejected_with_accept_encoding(encoding: str) -> None:
    with pytest.raises(Rejection) as caught:
        decompressor_for(encoding)
    assert (caught.value.status, caught.value.headers["accept-encoding"]) == (415, "gzip, deflate, zstd")


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_uncompressed_body_needs_no_decompressor(encoding: str | None) -> None:
    assert decompressor_for(encoding) is None
    assert read(encoding, [b"{", b"}"]) == b"{}"


def test_empty_body_needs_no_compressed_stream() -> None:
    assert read("gzip", []) == b""
