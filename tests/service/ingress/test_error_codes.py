"""One row for every refusal there is: how it comes about, its status, whether to come again, and whether it is kept."""

import asyncio
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from service.envelopes import ParsedDelivery
from service.errors import StoreFull, StoreUnavailable
from service.events import Delivery
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.ingress.http.openapi import REJECTIONS
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.secrets import SecretRef
from service.settings import Settings
from service.signatures import StandardWebhooks
from service.store import Store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.service.ingress.http.test_health import Failing

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
    """What is sent where, and what is to come of it."""

    code: str
    status: int
    body: Any = BODY
    headers: Mapping[str, str] = {}
    method: str = "POST"
    source: str = "erp-orders"
    store: Exception | None = None
    settings: Mapping[str, Any] = {}
    comes_again: bool = False
    kept: bool = False


async def never_ending() -> Any:
    yield b"{"
    await asyncio.sleep(5)


GOOD = signed(BODY)
ROWS = [
    Row("malformed_payload", 400, b"{", signed(b"{"), kept=True),
    Row("malformed_payload", 400, BODY, GOOD | {"content-encoding": "gzip"}, kept=True),
    Row("not_verified", 401, BODY, signed(b"another"), kept=True),
    Row("not_verified", 418, BODY, signed(b"another"), source="odd", kept=True),
    Row("not_verified", 444, BODY, signed(b"another"), source="odder", kept=True),
    Row("stale_timestamp", 401, BODY, STALE, source="timed", kept=True),
    Row("unknown_source", 404, BODY, GOOD, source="nobody"),
    Row("method_not_allowed", 405, None, {}, method="GET"),
    Row("request_timeout", 408, never_ending, GOOD, kept=True),
    Row("payload_too_large", 413, bytes(1_001), GOOD, kept=True),
    Row("payload_too_large", 413, gzip.compress(bytes(1_001)), GOOD | {"content-encoding": "gzip"}, kept=True),
    Row("unsupported_media_type", 415, BODY, GOOD | {"content-type": "text/plain"}, kept=True),
    Row("unrecognized_event", 422, b"{}", signed(b"{}"), kept=True),
    Row(
        "too_many_requests", 429, BODY, GOOD, source="patient", comes_again=True,
        settings={"source_deliveries_per_second_max": 0.001},
    ),
    Row("headers_too_large", 431, BODY, GOOD | {f"x-{number}": "" for number in range(30)}),
    Row("internal", 500, BODY, GOOD, source="broken", kept=True),
    Row("store_unavailable", 503, BODY, GOOD, store=StoreUnavailable("gone"), comes_again=True),
    Row("store_full", 503, BODY, GOOD, store=StoreFull("full"), comes_again=True),
    Row(
        "too_many_requests", 503, BODY, GOOD, comes_again=True, settings={"source_deliveries_per_second_max": 0.001}
    ),
]  # fmt: skip


def misread(_: Delivery) -> ParsedDelivery:
    raise ZeroDivisionError


@pytest.fixture
async def more(sources: Mapping[str, Source], settings: Settings, tmp_path: Path) -> Mapping[str, Source]:
    path = tmp_path / "timed.yaml"
    path.write_text(CONFIG)
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        timed = build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)
    erp, replace = sources["erp-orders"], msgspec.structs.replace
    return timed | {
        "odd": replace(erp, name="odd", failure_status=418),
        "odder": replace(erp, name="odder", failure_status=444),  # a number that has no words
        "patient": replace(erp, name="patient", retries_on_429=True),
        "broken": replace(erp, name="broken", reader=misread),
    }


def test_every_code_and_status_has_its_row() -> None:
    described = {(status, code) for status, codes in REJECTIONS.items() for code in codes}
    assert {(row.status, row.code) for row in ROWS} - {(418, "not_verified"), (444, "not_verified")} == described


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.status} {row.code}")
async def test_a_refusal(
    *,
    row: Row,
    make_settings: Callable[..., Settings],
    store: Store,
    more: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    url = await serve(make_settings(**LIMITS, **row.settings), Failing(row.store) if row.store else store, more)
    url += f"/webhooks/{row.source}"

    async def ask() -> tuple[int, Mapping[str, str], dict[str, Any]]:
        data = row.body() if callable(row.body) else row.body
        async with client.request(row.method, url, data=data, headers=row.headers) as response:
            return response.status, response.headers, await response.json(content_type=None)

    if row.code == "too_many_requests":
        assert (await ask())[0] == 202
    status, headers, problem = await ask()
    assert (status, problem["status"], problem["code"]) == (row.status, row.status, row.code)
    assert headers["content-type"] == "application/problem+json"
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert ("retry-after" in headers) == row.comes_again
    line = lines("delivery.received")[-1]
    assert (line["delivery_status"], line["reason"], line["http_status"]) == ("rejected", row.code, row.status)
    assert line["quarantined"] == row.kept
    assert line["source_name"] in {row.source, "unknown"}
