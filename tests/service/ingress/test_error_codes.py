"""Every rejection: cause, status, Retry-After, and whether the delivery is quarantined."""

import asyncio
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from service.configuration import load_config
from service.envelopes import ParsedDelivery
from service.errors import StoreFull, StoreUnavailable
from service.events import Delivery
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.ingress.http.openapi import REJECTIONS
from service.platforms.registry import build_platforms
from service.secrets import SecretRef
from service.settings import Settings
from service.signatures import StandardWebhooks
from service.store import Store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.service.ingress.http.test_health import FailingStore

BODY = encode(Order("1"))
LIMITS = {"body_bytes_max": 1_000, "body_timeout_seconds": 0.3, "header_fields_max": 20}
CONFIG = """
platforms:
  erp:
    kind: custom
    base_url: https://erp.example.com/api
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  timed:
    platform: erp
    verify: {scheme: standard_webhooks, secrets: [{env: TIMED}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
"""
ENVIRON = {"TIMED": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
STALE = {
    "content-type": "application/json",
    **StandardWebhooks(secrets=(SecretRef(env="TIMED"),)).sign(BODY, ENVIRON["TIMED"], "1", 1_700_000_000),
}


class Row(msgspec.Struct, frozen=True):
    """A request and its expected rejection."""

    code: str
    status: int
    body: Any = BODY
    headers: Mapping[str, str] = {}
    method: str = "POST"
    source: str = "erp-orders"
    store: Exception | None = None
    settings: Mapping[str, Any] = {}
    has_retry_after: bool = False
    quarantined: bool = False


async def endless_body() -> Any:
    yield b"{"
    await asyncio.sleep(5)


GOOD = signed(BODY)
ROWS = [
    Row("malformed_payload", 400, b"{", signed(b"{"), quarantined=True),
    Row("malformed_payload", 400, BODY, GOOD | {"content-encoding": "gzip"}, quarantined=True),
    Row("bad_request", 400, BODY, GOOD | {"host": "two hosts"}),
    Row("not_verified", 401, BODY, signed(b"another"), quarantined=True),
    Row("not_verified", 418, BODY, signed(b"another"), source="teapot", quarantined=True),
    Row("not_verified", 444, BODY, signed(b"another"), source="unusual", quarantined=True),
    Row("stale_timestamp", 401, BODY, STALE, source="timed", quarantined=True),
    Row("unknown_source", 404, BODY, GOOD, source="nobody"),
    Row("method_not_allowed", 405, None, {}, method="GET"),
    Row("request_timeout", 408, endless_body, GOOD, quarantined=True),
    Row("payload_too_large", 413, bytes(1_001), GOOD, quarantined=True),
    Row("payload_too_large", 413, gzip.compress(bytes(1_001)), GOOD | {"content-encoding": "gzip"}, quarantined=True),
    Row("unsupported_media_type", 415, BODY, GOOD | {"content-type": "text/plain"}, quarantined=True),
    Row("unrecognized_event", 422, b"{}", signed(b"{}"), quarantined=True),
    Row(
        "too_many_requests", 429, BODY, GOOD, source="retrying", has_retry_after=True,
        settings={"source_deliveries_per_second_max": 0.001},
    ),
    Row("headers_too_large", 431, BODY, GOOD | {f"x-{number}": "" for number in range(30)}),
    Row("internal", 500, BODY, GOOD, source="broken", quarantined=True),
    Row("store_unavailable", 503, BODY, GOOD, store=StoreUnavailable("gone"), has_retry_after=True),
    Row("store_full", 503, BODY, GOOD, store=StoreFull("full"), has_retry_after=True),
    Row(
        "too_many_requests", 503, BODY, GOOD, has_retry_after=True, settings={"source_deliveries_per_second_max": 0.001}
    ),
]  # fmt: skip


def raise_in_parser(_: Delivery) -> ParsedDelivery:
    raise ZeroDivisionError


@pytest.fixture
async def extra_sources(sources: Mapping[str, Source], settings: Settings, tmp_path: Path) -> Mapping[str, Source]:
    path = tmp_path / "timed.yaml"
    path.write_text(CONFIG)
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        timed = build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)
    erp, replace = sources["erp-orders"], msgspec.structs.replace
    return timed | {
        "teapot": replace(erp, name="teapot", failure_status=418),
        "unusual": replace(erp, name="unusual", failure_status=444),  # a status without a reason phrase
        "retrying": replace(erp, name="retrying", retries_on_429=True),
        "broken": replace(erp, name="broken", parser=raise_in_parser),
    }


def test_every_documented_rejection_has_a_row() -> None:
    described = {(status, code) for status, codes in REJECTIONS.items() for code in codes}
    assert {(row.status, row.code) for row in ROWS} - {(418, "not_verified"), (444, "not_verified")} == described


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.status} {row.code}")
async def test_rejection(
    *,
    row: Row,
    make_settings: Callable[..., Settings],
    store: Store,
    extra_sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    url = await serve(
        make_settings(**LIMITS, **row.settings), FailingStore(row.store) if row.store else store, extra_sources
    )
    url += f"/webhooks/{row.source}"

    async def send() -> tuple[int, Mapping[str, str], dict[str, Any]]:
        data = row.body() if callable(row.body) else row.body
        async with client.request(row.method, url, data=data, headers=row.headers) as response:
            return response.status, response.headers, await response.json(content_type=None)

    if row.code == "too_many_requests":
        assert (await send())[0] == 202
    status, headers, problem = await send()
    assert (status, problem["status"], problem["code"]) == (row.status, row.status, row.code)
    assert headers["content-type"] == "application/problem+json"
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert ("retry-after" in headers) == row.has_retry_after
    line = lines("delivery.received")[-1]
    assert (line["delivery_status"], line["reason"], line["http_status"]) == ("rejected", row.code, row.status)
    assert line["quarantined"] == row.quarantined
    assert line["source_name"] in {row.source, "unknown"}
