"""How much and how often: compressed bodies over HTTP, the room all bodies share, addresses and sources that flood."""

import asyncio
import gzip
import socket
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
    ("encoding", "packed"),
    [("gzip", gzip.compress(BODY, mtime=0)), ("deflate", zlib.compress(BODY)), ("zstd", zstd.compress(BODY))],
    ids=["gzip", "deflate", "zstd"],
)
async def test_a_compressed_body_is_verified_and_kept_inflated(
    *, encoding: str, packed: bytes, settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    status, _, answer = await post(client, url, packed, signed(BODY, content_encoding=encoding))
    assert status == 202
    kept = await store.events.get(answer["event_id"])
    assert kept is not None
    assert kept["event"]["body"] == BODY


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd.compress)]
)
async def test_a_bomb_is_a_413(
    *,
    encoding: str,
    pack: Callable[[bytes], bytes],
    settings: Settings,
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(settings, store)
    status, _, problem = await post(client, url, pack(bytes(20_000_000)), signed(BODY, content_encoding=encoding))
    assert (status, problem["code"]) == (413, "payload_too_large")


async def test_all_bodies_together_are_bounded(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(make_settings(in_flight_body_bytes_max=100_000), store)
    head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 90000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as occupant:
        occupant.sendall(head.encode() + b"a" * 80_000)
        large = encode(Order("2"), 60_000)

        async def answered() -> tuple[int, Any, Any]:
            status, headers, problem = await post(client, url, large, signed(large))
            return status, problem.get("code"), headers.get("retry-after")

        async def is_refused() -> bool:
            return await answered() == (503, "too_many_requests", "5")

        async def is_taken() -> bool:
            return (await answered())[0] == 202

        await until(is_refused)
        assert (await post(client, url, BODY, signed(BODY)))[0] == 202
    await until(is_taken)


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock that deliveries a second are counted by, so that only a burst may pass."""
    now = time.monotonic()
    monkeypatch.setattr("service.ingress.limits.rate_limits.time", SimpleNamespace(monotonic=lambda: now))


@pytest.mark.usefixtures("still_clock")
async def test_an_address_that_floods_must_wait_and_one_that_signs_never_does(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=2, trusted_proxies="127.0.0.1"), store)
    flooding, quiet = {"x-forwarded-for": "203.0.113.9"}, {"x-forwarded-for": "203.0.113.10"}
    answers = [await post(client, url, BODY, BAD | flooding) for _ in range(30)]
    statuses = [status for status, _, _ in answers]
    assert statuses[:10] == [401] * 10
    assert statuses[-5:] == [503] * 5
    _, headers, problem = answers[-1]
    assert (problem["code"], headers["connection"]) == ("too_many_requests", "close")
    assert int(headers["retry-after"]) >= 1
    for number in range(30):
        body = encode(Order(str(number)))
        assert (await post(client, url, body, signed(body) | quiet))[0] == 202
    told: list[dict[str, Any]] = []

    def is_throttled() -> bool:
        told.extend(lines("delivery.received", "delivery.rate_limited"))
        return sum(line.get("deliveries", 0) for line in told) == statuses.count(503)

    await until(is_throttled)
    assert len([line for line in told if line.get("reason") == "not_verified"]) < 15
    assert "203.0.113" not in str(told)


@pytest.mark.usefixtures("still_clock")
async def test_whoever_asks_for_nothing_that_is_there_is_counted_too(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=1), store)
    statuses: list[int] = []
    paths = ["/webhooks/nobody", "/webhooks/a/b/c", PATH]
    for number in range(15):
        async with client.request("POST" if number % 3 < 2 else "OPTIONS", url + paths[number % 3]) as response:
            statuses.append(response.status)
    assert statuses[:3] == [404, 404, 200]
    assert statuses[-3:] == [503, 503, 503]


@pytest.mark.usefixtures("still_clock")
async def test_a_small_body_that_unfolds_to_a_large_one_counts_as_many(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    limits = {"address_rejections_per_second_max": 10, "quarantine_deliveries_max": 0, "trusted_proxies": "127.0.0.1"}
    url = await serve(make_settings(**limits), store)
    for number, (size, refused) in enumerate(((1_000_000, 2), (1_200_000, 2), (1, 50))):
        packed, statuses = gzip.compress(bytes(size)), list[int]()
        headers = BAD | {"content-encoding": "gzip", "x-forwarded-for": f"203.0.113.{number}"}
        while not statuses or statuses[-1] != 503:
            statuses.append((await post(client, url, packed, headers))[0])
        assert set(statuses[:-1]) <= {401, 413}
        assert refused <= len(statuses) - 1 <= refused * 1.3


@pytest.mark.usefixtures("still_clock")
async def test_whoever_leaves_in_the_middle_of_a_body_is_counted_too(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(address_rejections_per_second_max=1), store)
    for _ in range(15):
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n".encode())
        await asyncio.sleep(0.02)
        writer.close()
    assert (await post(client, url, BODY, signed(BODY)))[0] == 503
    await asyncio.sleep(1.2)
    assert len([line for line in lines("delivery.received") if line["reason"] == "disconnected"]) < 10


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(("retries", "status"), [(True, 429), (False, 503)])
async def test_a_source_that_floods_must_wait_in_the_way_its_platform_understands(
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


def test_each_platform_says_whether_a_429_brings_its_deliveries_back() -> None:
    facts = {
        config: config.retries_on_429
        for config in (PackCloudConfig, PexipEngageConfig, OpenFoodNetworkConfig, FlowRetailConfig, CustomConfig)
    }
    assert {config for config, retries in facts.items() if retries} == {PexipEngageConfig, OpenFoodNetworkConfig}
