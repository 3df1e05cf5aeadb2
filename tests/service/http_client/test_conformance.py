"""HTTP client against a server of h11, which rejects any request that is not valid HTTP/1.1."""

import base64
import gzip
import zlib
from collections.abc import Callable

import h11
import pytest

from service.errors import PermanentError
from service.http_client import HttpClient
from tests.service.http_client.servers import call, conforming_server


def response(status: int, body: bytes, *headers: tuple[str, str], length: bool = True) -> list[h11.Event]:
    framing = [("Content-Length", str(len(body)))] if length else [("Transfer-Encoding", "chunked")]
    return [
        h11.Response(status_code=status, headers=[*framing, *headers]),
        *([h11.Data(data=body)] if body else []),
        h11.EndOfMessage(),
    ]


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "body", [None, b"", b"{}", b"x" * 70_000, b"x" * 3_000_000], ids=["none", "0", "2", "70k", "3M"]
)
async def test_requests_of_all_methods_and_sizes_are_valid(
    outbound: HttpClient, method: str, body: bytes | None
) -> None:
    def respond(request: h11.Request, received: bytes) -> list[h11.Event]:
        assert request.method.decode() == method
        assert request.target == b"/a/b?c=d%20e"
        return response(200, str(len(received)).encode())

    async with conforming_server(respond) as server:
        for _ in range(3):
            answer = await call(outbound, f"{server.url}/a/b?c=d%20e", method, body=body, headers={"X-A": "å"})
            assert (answer.status, answer.body) == (200, str(len(body or b"")).encode())
        assert server.connections == 1


async def test_request_has_the_usual_headers_once(outbound: HttpClient) -> None:
    seen: list[dict[str, str]] = []

    def respond(request: h11.Request, _: bytes) -> list[h11.Event]:
        seen.append({name.decode(): value.decode() for name, value in request.headers})
        assert len(seen[-1]) == len(request.headers)
        return response(200, b"")

    async with conforming_server(respond) as server:
        await call(outbound, server.url)
        await call(outbound, server.url, "POST")
        own = {"ACCEPT": "a/b", "user-agent": "own", "Accept-Encoding": "identity", "Content-type": "c/d", "X": "1 %s"}
        await call(outbound, server.url.replace("://", "://us%40er:p:w@"), "POST", body=b"{}", headers=own)
    host = server.url.removeprefix("http://")
    usual = {"host": host, "user-agent": "waybill", "accept": "*/*", "accept-encoding": "gzip, deflate, zstd"}
    assert seen == [
        usual,
        usual | {"content-length": "0"},
        {
            "host": host, "accept": "a/b", "user-agent": "own", "accept-encoding": "identity", "content-type": "c/d",
            "x": "1 %s", "content-length": "2", "authorization": "Basic " + base64.b64encode(b"us@er:p:w").decode(),
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\nb"}, {"X": "a\rb"}, {"X": "a\0b"}, {"X\n": "a"}, {"X ": "a"}, {"": "a"}, {"X:": "a"}, {"Å": "a"},
        {"X": "\ud800"}, {"Content-Length": "1"}, {"transfer-encoding": "chunked"}, {"Host": "other"},
        {"Connection": "close"},
    ],
)  # fmt: skip
async def test_header_that_could_change_the_request_is_rejected(outbound: HttpClient, headers: dict[str, str]) -> None:
    with pytest.raises(PermanentError) as raised:
        await call(outbound, "http://localhost:1/", headers=headers)
    assert raised.value.kind == "invalid_request"


@pytest.mark.parametrize("method", ["", "GET /x HTTP/1.1\r\n", "G T", "GËT"])
async def test_method_that_could_change_the_request_is_rejected(outbound: HttpClient, method: str) -> None:
    with pytest.raises(PermanentError) as raised:
        await call(outbound, "http://localhost:1/", method)
    assert raised.value.kind == "invalid_request"


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
async def test_bodies_of_both_framings_are_read(outbound: HttpClient, length: bool) -> None:  # noqa: FBT001
    bodies = [b"", b"{}", b"x" * 90_000, b""]

    async with conforming_server(
        lambda request, _: response(200, bodies[int(request.target[1:])], length=length)
    ) as server:
        for number, body in enumerate(bodies):
            assert (await call(outbound, f"{server.url}/{number}")).body == body
        assert server.connections == 1


async def test_trailers_are_read_and_not_returned(outbound: HttpClient) -> None:
    def respond(_: h11.Request, __: bytes) -> list[h11.Event]:
        parts = response(200, b"{}", ("Trailer", "X-Sum"), length=False)
        return [*parts[:-1], h11.EndOfMessage(headers=[("X-Sum", "1")])]

    async with conforming_server(respond) as server:
        for _ in range(3):
            answer = await call(outbound, server.url)
            assert (answer.body, "x-sum" in answer.headers) == (b"{}", False)
        assert server.connections == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_responses_without_body_leave_the_connection_open(outbound: HttpClient, status: int) -> None:
    def respond(_: h11.Request, __: bytes) -> list[h11.Event]:
        return [h11.Response(status_code=status, headers=[("ETag", "1")]), h11.EndOfMessage()]

    async with conforming_server(respond) as server:
        for _ in range(2):
            answer = await call(outbound, server.url)
            assert (answer.status, answer.body, answer.headers) == (status, b"", {"etag": "1"})
        assert server.connections == 1


async def test_response_to_head_has_no_body(outbound: HttpClient) -> None:
    def respond(request: h11.Request, _: bytes) -> list[h11.Event]:
        if request.method == b"GET":
            return response(200, b"{}")
        return [h11.Response(status_code=200, headers=[("Content-Length", "5000")]), h11.EndOfMessage()]

    async with conforming_server(respond) as server:
        for method, body in [("HEAD", b""), ("GET", b"{}"), ("HEAD", b""), ("GET", b"{}")]:
            answer = await call(outbound, server.url, method)
            assert (answer.status, answer.body) == (200, body)


async def test_interim_responses_are_skipped(outbound: HttpClient) -> None:
    def respond(_: h11.Request, __: bytes) -> list[h11.Event]:
        hints = h11.InformationalResponse(status_code=103, headers=[("Link", "</a>")])
        return [hints, hints, *response(201, b"{}", ("X-A", "1"))]

    async with conforming_server(respond) as server:
        for _ in range(2):
            answer = await call(outbound, server.url, "POST", body=b"{}")
            assert (answer.status, answer.body, answer.headers) == (201, b"{}", {"content-length": "2", "x-a": "1"})
        assert server.connections == 1


async def test_connection_that_the_server_closes_is_not_reused(outbound: HttpClient) -> None:
    async with conforming_server(lambda _, __: response(200, b"{}", ("Connection", "close"))) as server:
        for _ in range(3):
            assert (await call(outbound, server.url)).body == b"{}"
        assert server.connections == 3


def _zstd(data: bytes) -> bytes:
    from service.http_client.decompression import zstd  # noqa: PLC0415 - one of two modules, by the Python version

    return zstd.compress(data)


def _bare_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def _two_members(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: compress(data[:7]) + compress(data[7:])


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
        ("deflate", _bare_deflate), ("zstd", _zstd), ("identity", bytes), ("utf-8", bytes),
        ("gzip", _two_members(gzip.compress)), ("zstd", _two_members(_zstd)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
async def test_bodies_of_all_encodings_are_decompressed(
    outbound: HttpClient, encoding: str, compress: Callable[[bytes], bytes], *, length: bool
) -> None:
    data = b"one two three" * 900
    made = compress(data)

    def respond(_: h11.Request, __: bytes) -> list[h11.Event]:
        parts = response(200, made, ("Content-Encoding", encoding), length=length)
        half = [h11.Data(data=made[:11]), h11.Data(data=made[11:])]
        return [parts[0], *half, parts[-1]]

    async with conforming_server(respond) as server:
        for _ in range(2):
            assert (await call(outbound, server.url)).body == data
            assert (await call(outbound, server.url, bytes_max=len(data))).body == data
            with pytest.raises(PermanentError) as raised:
                await call(outbound, server.url, bytes_max=len(data) - 1)
            assert raised.value.kind == "response_too_large"


async def test_empty_body_with_an_encoding_is_empty(outbound: HttpClient) -> None:
    async with conforming_server(lambda _, __: response(200, b"", ("Content-Encoding", "gzip"))) as server:
        assert (await call(outbound, server.url)).body == b""
