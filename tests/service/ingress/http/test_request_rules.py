"""Heads of requests that proxies read differently, on a real port: each is rejected, and its neighbours are not."""

import asyncio
import re
from typing import Any

import pytest
from msgspec import Struct

from service.metrics.families import CONNECTIONS_CLOSED
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, Serve, encode, signed
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.store

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
CHUNKED = "Transfer-Encoding: chunked"


class Head(Struct):
    """Request with changed parts, and the status of its answer."""

    status: int
    lines: tuple[str, ...] = ("Host: a",)
    length: str | None = "Content-Length: {}"
    version: str = "1.1"
    path: str = "/webhooks/erp-orders"


def chunked(status: int, *lines: str, version: str = "1.1") -> Head:
    return Head(status, ("Host: a", *lines), None, version)


HEADS = [
    Head(202),
    chunked(202, CHUNKED),
    chunked(202, "Transfer-Encoding: Chunked "),
    *[chunked(501, f"Transfer-Encoding: {coding}") for coding in ("gzip, chunked", "x, chunked", "gzip", "identity")],
    chunked(501, "Transfer-Encoding: identity", CHUNKED),
    *[chunked(400, f"Transfer-Encoding: {coding}") for coding in ("chunked, chunked", "")],
    chunked(400, CHUNKED, CHUNKED),
    chunked(400, CHUNKED, version="1.0"),
    Head(400, ("Host: a", CHUNKED)),
    Head(400, ("Host: a", "Content-Length: 3")),
    Head(400, ()),
    Head(202, (), version="1.0"),
    Head(400, ("Host: a", "Host: a")),
    Head(400, ("Host:  a b/\\@",)),
    *[Head(202, (f"Host: {host}",)) for host in ("a:80", "[::1]:80", "my_service.ns.svc:8080")],
    *[Head(505, version=version) for version in ("2.0", "0.9")],
    *[Head(400, version=version) for version in ("1.2", "3.0")],
    *[Head(202, path=path) for path in ("//webhooks/erp-orders", "/webhooks/erp-orders/", "/webhooks/erp%2Dorders")],
    Head(202, path="http://a/webhooks/erp-orders"),
    *[
        Head(404, path=path)
        for path in (
            "/webhooks%2Ferp-orders", "/webhooks/erp-orders%2f", "/webhooks//erp-orders", "/webhooks/erp-orders//",
            "///webhooks/erp-orders", "//webhooks//erp-orders", "/webhooks/./erp-orders", "/x/../webhooks/erp-orders",
            "/webhooks/%2e/erp-orders", "/webhooks%5Cerp-orders", "/webhooks/erp-orders%00", "/webhooks/erp%252Dorders",
        )
    ],
]  # fmt: skip


def encode_request(head: Head, number: int) -> bytes:
    body = encode(Order(str(number)))
    lines = [f"POST {head.path} HTTP/{head.version}", *head.lines]
    lines += [f"{name}: {value} \t" for name, value in signed(body).items()]  # trailing blanks are no part of a value
    if head.length is not None:
        lines.append(head.length.format(len(body)))
    else:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(port: int, request: bytes, answers: int = 1) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    data = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(STATUS.findall(data)) < answers and (part := await reader.read(65_536)):
            data += part
    writer.close()
    return [int(status) for status in STATUS.findall(data)]


async def test_heads_that_proxies_read_differently_are_rejected(settings: Settings, store: Store, serve: Serve) -> None:
    port = int((await serve(settings, store)).rpartition(":")[2])
    found: dict[str, Any] = {}
    for number, head in enumerate(HEADS):
        statuses = await exchange(port, encode_request(head, number))
        if statuses != [head.status]:
            found[f"{head.version} {head.path} {head.lines}"] = (statuses, head.status)
    assert found == {}


async def test_answer_to_an_earlier_request_comes_first(settings: Settings, store: Store, serve: Serve) -> None:
    port = int((await serve(settings, store)).rpartition(":")[2])
    counted = CONNECTIONS_CLOSED.values.get(("coding_not_supported",), 0)
    wrong = encode_request(chunked(501, "Transfer-Encoding: gzip, chunked"), 2)
    assert await exchange(port, encode_request(Head(202), 1) + wrong + encode_request(Head(202), 3), 2) == [202, 501]
    assert CONNECTIONS_CLOSED.values["coding_not_supported",] == counted + 1
