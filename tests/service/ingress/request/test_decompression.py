"""Compressed bodies: every coding in every cut, bombs that end at the limit, and bytes that are no such stream."""

import asyncio
import contextlib
import gzip
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
Pack = Callable[[bytes], bytes]


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: list[tuple[str, Pack]] = [
    ("gzip", gzip.compress),
    ("X-GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("zstd", zstd.compress),
]


def read(encoding: str | None, pieces: Sequence[bytes], limit: int = LIMIT) -> bytes:
    """Read `pieces` as one body."""
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        + [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def receive() -> Any:
        return next(messages)

    portion = BodyReservation(BodyMemoryLimit(10 * limit, 5))
    reading = read_body(cast("Any", receive), None, decompressor_for(encoding), limit, portion)
    return asyncio.run(reading)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


@pytest.mark.parametrize(("encoding", "pack"), CODINGS)
@given(data=st.binary(min_size=0, max_size=3_000), size=st.integers(1, 4_000))
@settings(max_examples=examples(25))
def test_a_body_comes_out_as_it_went_in_however_it_is_cut(encoding: str, pack: Pack, data: bytes, size: int) -> None:
    assert read(encoding, cut(pack(data), size)) == data


@pytest.mark.parametrize(("encoding", "pack"), CODINGS)
@pytest.mark.parametrize(("excess", "fits"), [(0, True), (1, False)])
def test_the_limit_holds_for_what_comes_out(encoding: str, pack: Pack, *, excess: int, fits: bool) -> None:
    packed = cut(pack(b"x" * (LIMIT + excess)), 50)
    if fits:
        assert len(read(encoding, packed)) == LIMIT
        return
    with pytest.raises(Rejection) as refused:
        read(encoding, packed)
    assert refused.value.code == "payload_too_large"


@pytest.mark.parametrize(("encoding", "pack"), CODINGS)
def test_a_bomb_is_refused_before_it_unfolds(encoding: str, pack: Pack) -> None:
    bomb = pack(bytes(200_000_000)) if encoding == "zstd" else pack(bytes(50_000_000))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(Rejection) as refused:
        read(encoding, [bomb[:LIMIT]])
    spent = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.code == "payload_too_large"
    assert spent < 0.2
    assert peak < 20 * LIMIT


@pytest.mark.parametrize(("encoding", "pack"), CODINGS)
@pytest.mark.parametrize("spoil", ["cut short", "goes on", "two streams", "another coding"])
def test_what_is_not_one_whole_stream_is_unparsable(encoding: str, pack: Pack, spoil: str) -> None:
    packed = pack(b'{"id":"1"}' * 20)
    spoilt = {
        "cut short": packed[:-3],
        "goes on": packed + b"x",
        "two streams": packed + packed,
        "another coding": b'{"id":"1"}',
    }[spoil]
    for size in (1, 10_000):
        with pytest.raises(Rejection) as refused:
            read(encoding, cut(spoilt, size))
        assert (refused.value.status, refused.value.code) == (400, "malformed_payload")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(data=st.binary(max_size=300), size=st.integers(1, 300))
@settings(max_examples=examples(50))
def test_garbage_is_refused_and_raises_nothing_else(encoding: str, data: bytes, size: int) -> None:
    with contextlib.suppress(Rejection):
        read(encoding, cut(data, size))


def test_a_zstd_window_larger_than_the_standard_allows_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(bytes(1_000), zstd.ZstdCompressor.FLUSH_BLOCK) + packer.flush()
    with pytest.raises(Rejection):
        read("zstd", [packed])


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip, zstd", "compress", "*", "é"])
def test_other_codings_and_several_are_refused_with_what_is_taken(encoding: str) -> None:
    with pytest.raises(Rejection) as refused:
        decompressor_for(encoding)
    assert (refused.value.status, refused.value.headers["accept-encoding"]) == (415, "gzip, deflate, zstd")


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_a_body_may_come_as_it_is(encoding: str | None) -> None:
    assert decompressor_for(encoding) is None
    assert read(encoding, [b"{", b"}"]) == b"{}"


def test_an_empty_body_needs_no_stream() -> None:
    assert read("gzip", []) == b""
