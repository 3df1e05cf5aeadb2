"""Rejections of the webhook port: response and log line of each code, and that no event is stored."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
import pytest

from service.events import Delivery, Fact
from service.ingestion.sources import Source
from service.settings import Settings
from service.store import IngestRequest, IngestResult, Store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.waiting import PATIENCE_SECONDS, until

BODY = encode(Order("1"))
PATH = "/webhooks/erp-orders"
UNSIGNED = {"content-type": "application/json"}


async def send(
    client: aiohttp.ClientSession, method: str, url: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], Any]:
    async with client.request(method, url, data=body, headers=headers) as response:
        assert response.content_type in {"application/problem+json", "application/json"}
        return response.status, response.headers, None if method == "HEAD" else await response.json(content_type=None)


Row = tuple[str, int, str, str, bytes | None, dict[str, str]]

ROWS: list[Row] = [
    ("unknown_source", 404, "POST", "/webhooks/nobody", BODY, signed(BODY)),
    ("unknown_source", 404, "POST", "/webhooks", BODY, signed(BODY)),
    ("unknown_source", 404, "POST", "/webhooks/erp-orders/token/more", BODY, signed(BODY)),
    ("unknown_source", 404, "POST", "/webhooksandmore", BODY, signed(BODY)),
    ("method_not_allowed", 405, "GET", PATH, None, {}),
    ("method_not_allowed", 405, "PUT", PATH, BODY, signed(BODY)),
    ("unsupported_media_type", 415, "POST", PATH, BODY, signed(BODY, content_type="text/plain")),
    ("unsupported_media_type", 415, "POST", PATH, BODY, signed(BODY, content_encoding="br")),
    ("malformed_payload", 400, "POST", PATH, BODY, signed(BODY, content_encoding="gzip")),
    ("not_verified", 401, "POST", PATH, BODY, signed(BODY + b" ")),
    ("not_verified", 401, "POST", PATH, BODY, UNSIGNED),
    ("malformed_payload", 400, "POST", PATH, b"{", signed(b"{")),
    ("malformed_payload", 400, "POST", PATH, b"", signed(b"")),
    ("malformed_payload", 400, "POST", PATH, b'{"id":"\xff"}', signed(b'{"id":"\xff"}')),
    ("unrecognized_event", 422, "POST", PATH, b'{"id":"1","type":"x"}', signed(b'{"id":"1","type":"x"}')),
    ("payload_too_large", 413, "POST", PATH, bytes(2_000), signed(bytes(2_000))),
]


@pytest.mark.parametrize(("code", "status", "method", "path", "body", "headers"), ROWS)
async def test_rejection_is_a_logged_problem_without_an_event(
    *,
    code: str,
    status: int,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    url = await serve(make_settings(body_bytes_max=1_000), store)
    answered, _, problem = await send(client, method, url + path, body, headers)
    assert (answered, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    [line] = lines("delivery.received")
    assert (line["delivery_status"], line["reason"], line["http_status"]) == ("rejected", code, status)
    assert line["source_name"] == ("erp-orders" if path == PATH else line["source_name"])
    assert line["duration_ms"] > 0
    assert len(line["trace_id"]) == 32
    assert (await store.sample()).pending == 0


async def test_head_is_answered_405_with_allow(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    status, headers, _ = await send(client, "HEAD", url + PATH, None, {})
    assert (status, headers["allow"]) == (405, "POST, OPTIONS")


async def test_unknown_source_name_is_not_logged(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store)
    await send(client, "POST", f"{url}/webhooks/{'a' * 500}", BODY, signed(BODY))
    [line] = lines("delivery.received")
    assert line["source_name"] == "unknown"
    assert "aaaa" not in str(line)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_unknown_paths_and_methods_are_problems(
    *, method: str, path: str, status: int, code: str, settings: Settings, store: Store, serve: Serve,
    client: aiohttp.ClientSession,
) -> None:  # fmt: skip
    url = await serve(settings, store)
    answered, headers, problem = await send(client, method, url + path, None, {})
    assert (answered, problem["code"], headers["content-type"]) == (status, code, "application/problem+json")
    assert headers["x-content-type-options"] == "nosniff"


async def test_malformed_host_is_a_problem(settings: Settings, store: Store, serve: Serve) -> None:
    url = await serve(settings, store)
    parser, writer = await asyncio.open_connection("127.0.0.1", _port(url))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a b/c\r\nConnection: close\r\n\r\n")
    answer = await parser.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in answer


async def test_slow_body_is_answered_408_and_closed(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, lines: Lines
) -> None:
    url = await serve(make_settings(body_timeout_seconds=0.2), store)
    parser, writer = await asyncio.open_connection("127.0.0.1", _port(url))
    writer.write(_head(content_length=100) + b"{")
    answer = await parser.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert [line["reason"] for line in lines("delivery.received")] == ["request_timeout"]


async def test_disconnect_during_the_body_is_only_logged(
    settings: Settings, store: Store, serve: Serve, lines: Lines
) -> None:
    url = await serve(settings, store)
    _, writer = await asyncio.open_connection("127.0.0.1", _port(url))
    writer.write(_head(content_length=100) + b"{")
    await writer.drain()
    writer.transport.abort()
    written: list[dict[str, Any]] = []
    await until(lambda: bool(written.extend(lines("delivery.received")) or written))
    assert [(line["reason"], line["http_status"]) for line in written] == [("disconnected", 499)]
    assert (await store.sample()).pending == 0


@pytest.mark.slow
async def test_connection_without_a_complete_head_is_closed(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(body_timeout_seconds=0.2), store)
    port = _port(url)
    silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
    slow, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /webhooks/erp-orders HTTP/1.1\r\nHo")
    assert await asyncio.wait_for(silent.read(), PATIENCE_SECONDS) == b""
    assert await asyncio.wait_for(slow.read(), PATIENCE_SECONDS) == b""
    silent_writer.close()
    writer.close()


async def test_oversized_body_is_rejected_before_100_continue(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(body_bytes_max=10), store)
    parser, writer = await asyncio.open_connection("127.0.0.1", _port(url))
    writer.write(_head(content_length=11, expect="100-continue"))
    assert (await parser.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


class HeldStore:
    """Store that ingests when `release` is set."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.release = asyncio.Event()
        self.waiting = 0
        self.check, self.sample = store.check, store.sample
        self.quarantine_deliveries = store.quarantine_deliveries

    async def ingest_all(self, requests: Sequence[IngestRequest], /) -> list[IngestResult]:
        self.waiting += 1
        await self.release.wait()
        return await self._store.ingest_all(requests)


async def test_too_many_concurrent_deliveries_are_answered_503(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    held = HeldStore(store)
    url = await serve(make_settings(requests_in_flight_max=1), held)
    first = asyncio.create_task(send(client, "POST", url + PATH, BODY, signed(BODY)))
    await until(lambda: held.waiting == 1)
    second = encode(Order("2"))
    status, headers, problem = await send(client, "POST", url + PATH, second, signed(second))
    assert (status, problem["code"], headers["retry-after"]) == (503, "too_many_requests", "5")
    held.release.set()
    assert (await first)[0] == 202
    assert (await send(client, "POST", url + PATH, second, signed(second)))[0] == 202


async def test_incomplete_requests_do_not_count_as_concurrent_deliveries(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(make_settings(requests_in_flight_max=1), store)
    with socket.create_connection(("127.0.0.1", _port(url))) as connection:
        connection.sendall(_head(content_length=100))
        for _ in range(5):
            assert (await send(client, "POST", url + PATH, BODY, signed(BODY)))[0] == 202


def raise_in_parser(delivery: Delivery) -> tuple[Fact, ...]:
    raise ZeroDivisionError(f"{len(delivery.body)} bytes")


async def test_unexpected_exception_is_a_500_and_logged_once(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:
    broken = msgspec.structs.replace(sources["erp-orders"], parser=raise_in_parser)
    url = await serve(settings, store, {"broken": broken})
    status, _, problem = await send(client, "POST", f"{url}/webhooks/broken", BODY, signed(BODY))
    assert (status, problem["code"]) == (500, "internal")
    written = capfd.readouterr().out
    assert written.count("Traceback") == 1
    assert written.count('"message":"delivery.crashed"') == 1
    assert '"reason":"internal"' in written
    assert "ZeroDivisionError" not in str(problem)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _head(content_length: int, **more: str) -> bytes:
    headers = {"host": "localhost", "content-length": str(content_length), **UNSIGNED, **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode()
