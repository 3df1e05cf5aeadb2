"""Compressed bodies over HTTP, the limit of all bodies together, and rate limits of addresses and sources."""

import asyncio
import gzip
import time
import zlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
import pytest
from backports import zstd

from service.ingestion.sources import Source
from service.platforms.custom.config import CustomConfig
from service.platforms.flow_retail.config import FlowRetailConfig
from service.platforms.open_food_network.config import OpenFoodNetworkConfig
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.waiting import until

BODY = encode(Order("1"))
PATH = "/webhooks/erp-orders"
BAD = signed(b"another")


async def post(
    client: aiohttp.ClientSession, url: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    async with client.post(url + PATH, data=body, headers=headers) as response:
        return response.status, response.headers, await response.json(content_type=None)


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [("gzip", gzip.compress(BODY, mtime=0)), ("deflate", zlib.compress(BODY)), ("zstd", zstd.compress(BODY))],
    ids=["gzip", "deflate", "zstd"],
)
async def test_compressed_body_is_verified_and_stored_decompressed(
    *, encoding: str, compressed: bytes, settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    status, _, answer = await post(client, url, compressed, signed(BODY, content_encoding=encoding))
    assert status == 202
    stored = await store.events.get(answer["event_id"])
    assert stored is not None
    assert stored["event"]["body"] == BODY


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd.compress)]
)
async def test_decompression_bomb_is_answered_413(
    *,
    encoding: str,
    compress: Callable[[bytes], bytes],
    settings: Settings,
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(settings, store)
    status, _, problem = await post(client, url, compress(bytes(20_000_000)), signed(BODY, content_encoding=encoding))
    assert (status, problem["code"]) == (413, "payload_too_large")


async def test_oldest_incomplete_body_makes_place_for_other_deliveries(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(in_flight_body_bytes_max=100_000), store)
    held = [await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])) for _ in range(2)]
    head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 90000\r\n\r\n"
    for _, writer in held:  # the second one takes the place of the first
        writer.write(head.encode() + b"a" * 80_000)
        await writer.drain()
        await asyncio.sleep(0)
    assert (await held[0][0].readline()).startswith(b"HTTP/1.1 503 ")
    large = encode(Order("2"), 60_000)
    for body in (large, BODY):
        assert (await post(client, url, body, signed(body)))[0] == 202
    assert (await held[1][0].readline()).startswith(b"HTTP/1.1 503 ")
    for _, writer in held:
        writer.close()
    rejected = [line for line in lines("delivery.received") if line["delivery_status"] == "rejected"]
    assert [line["reason"] for line in rejected] == ["too_many_requests"] * 2


async def test_body_above_the_limit_of_all_bodies_is_rejected(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(make_settings(in_flight_body_bytes_max=100_000), store)
    for size, status in ((100_000, 202), (100_001, 503)):
        body = encode(Order(str(size)), size)
        assert (await post(client, url, body, signed(body)))[0] == status


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the rate limits, so that only a burst passes."""
    now = time.monotonic()
    monkeypatch.setattr("service.ingress.limits.rate_limits.time", SimpleNamespace(monotonic=lambda: now))


@pytest.mark.slow
@pytest.mark.usefixtures("still_clock")
async def test_address_with_many_rejections_is_limited_and_signed_deliveries_are_not(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=2, trusted_proxies="127.0.0.1"), store)
    limited_address, other_address = {"x-forwarded-for": "203.0.113.9"}, {"x-forwarded-for": "203.0.113.10"}
    answers = [await post(client, url, BODY, BAD | limited_address) for _ in range(30)]
    statuses = [status for status, _, _ in answers]
    assert statuses[:10] == [401] * 10
    assert statuses[-5:] == [503] * 5
    _, headers, problem = answers[-1]
    assert (problem["code"], headers["connection"]) == ("too_many_requests", "close")
    assert int(headers["retry-after"]) >= 1
    for number in range(30):
        body = encode(Order(str(number)))
        assert (await post(client, url, body, signed(body) | other_address))[0] == 202
    for number, padding in enumerate((0, 100_000)):  # verified above the limit, too
        body = encode(Order(f"limited {number}"), padding)
        assert (await post(client, url, body, signed(body) | limited_address))[0] == 202
    body = encode(Order("compressed"))
    compressed = {"content-encoding": "gzip"} | limited_address
    assert (await post(client, url, gzip.compress(body), signed(body) | compressed))[0] == 202
    body = encode(Order("unverified, then invalid")).replace(b"4711", b"")
    assert (await post(client, url, body, signed(body) | limited_address))[0] == 422
    logged: list[dict[str, Any]] = []

    def is_throttled() -> bool:
        logged.extend(lines("delivery.received", "delivery.rate_limited"))
        return sum(line.get("deliveries", 0) for line in logged) == statuses.count(503)

    await until(is_throttled)
    assert len([line for line in logged if line.get("reason") == "not_verified"]) < 15
    assert "203.0.113" not in str(logged)


@pytest.mark.usefixtures("still_clock")
async def test_requests_for_unknown_sources_count_against_the_address(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=1), store)
    statuses: list[int] = []
    paths = ["/webhooks/nobody", "/webhooks/a/b/c", PATH]
    for number in range(24):
        async with client.request("POST" if number % 3 < 2 else "OPTIONS", url + paths[number % 3]) as response:
            statuses.append(response.status)
    assert statuses[:3] == [404, 404, 200]
    assert statuses[-3:] == [503, 503, 503]


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(
    ("body", "encoding", "rejections"),
    [(b"x", "identity", 50), (b"x" * 20_480, "identity", 9), (gzip.compress(bytes(1_000_000)), "gzip", 50)],
    ids=["small", "large", "expands to a large one"],
)
async def test_bytes_as_sent_count_as_rejections(
    *,
    body: bytes,
    encoding: str,
    rejections: int,
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=10, quarantine_deliveries_max=0), store)
    statuses = [(await post(client, url, body, BAD | {"content-encoding": encoding}))[0] for _ in range(rejections + 1)]
    assert statuses.index(503) == rejections
    assert set(statuses[:-1]) <= {401, 413}


@pytest.mark.usefixtures("still_clock")
async def test_rejections_of_one_source_do_not_limit_another(
    make_settings: Callable[..., Settings],
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    other = msgspec.structs.replace(sources["erp-orders"], name="other")
    url = await serve(make_settings(address_rejections_per_second_max=1), store, {"other": other})
    assert [(await post(client, url, BODY, BAD))[0] for _ in range(6)][-1] == 503
    async with client.post(f"{url}/webhooks/other", data=BODY, headers=BAD) as response:
        assert response.status == 401


@pytest.mark.parametrize(("trusted", "count"), [("", 1), ("127.0.0.0/8", 0)])
async def test_verified_delivery_through_an_untrusted_proxy_is_warned_of_once(
    *,
    trusted: str,
    count: int,
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    url = await serve(make_settings(trusted_proxies=trusted), store)
    forwarded = {"x-forwarded-for": "203.0.113.9"}
    await post(client, url, BODY, BAD | forwarded)
    await post(client, url, BODY, signed(BODY))
    assert lines("proxy.untrusted") == []
    for _ in range(2):
        await post(client, url, BODY, signed(BODY) | forwarded)
    warnings = lines("proxy.untrusted")
    assert [line["proxy_host"] for line in warnings] == ["127.0.0.1"] * count
    assert all("WAYBILL_TRUSTED_PROXIES" in line["fix"] for line in warnings)
    assert await store.untrusted_proxy.peer() == ("127.0.0.1" if count else None)


@pytest.mark.usefixtures("still_clock")
async def test_disconnect_during_the_body_counts_against_the_address(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=1), store)
    for _ in range(15):
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n".encode())
        await asyncio.sleep(0.02)
        writer.close()
    assert (await post(client, url, BODY, BAD))[0] == 503
    assert (await post(client, url, BODY, signed(BODY)))[0] == 202
    assert len([line for line in lines("delivery.received") if line.get("reason") == "disconnected"]) < 10


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(("retries", "status"), [(True, 429), (False, 503)])
async def test_source_above_its_rate_limit_is_answered_429_or_503(
    *,
    retries: bool,
    status: int,
    make_settings: Callable[..., Settings],
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    source = msgspec.structs.replace(sources["erp-orders"], retries_on_429=retries)
    settings = make_settings(source_deliveries_per_second_max=1, address_rejections_per_second_max=1)
    url = await serve(settings, store, {"erp-orders": source})
    bodies = [encode(Order(str(number))) for number in range(8)]
    answers = [await post(client, url, body, signed(body)) for body in bodies]
    assert [answered for answered, _, _ in answers[:5]] == [202] * 5
    answered, headers, problem = answers[-1]
    assert (answered, problem["code"]) == (status, "too_many_requests")
    assert int(headers["retry-after"]) >= 1
    assert lines("delivery.received")[-1]["quarantined"] is False
    assert await store.quarantine.sources() == []
    bad, _, _ = await post(client, url, bodies[0], BAD)
    assert bad == 401


def test_only_some_platforms_retry_on_429() -> None:
    facts = {
        config: config.retries_on_429
        for config in (PackCloudConfig, PexipEngageConfig, OpenFoodNetworkConfig, FlowRetailConfig, CustomConfig)
    }
    assert {config for config, retries in facts.items() if retries} == {PexipEngageConfig, OpenFoodNetworkConfig}
