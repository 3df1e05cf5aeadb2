"""Accepted deliveries: limits, deduplication, outcomes, and failures of the store."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from service.compute_thread import LARGE_BYTES
from service.dev.embedded_valkey import EmbeddedValkey
from service.envelopes import ParsedDelivery
from service.events import Delivery, Fact, RecordRef
from service.ingestion.sources import Source
from service.ingress.store_monitor import StoreMonitor
from service.settings import Settings
from service.store import Store, open_shards, open_store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def deliver(
    client: aiohttp.ClientSession, url: str, body: bytes, data: Any = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    request = client.post(f"{url}/webhooks/erp-orders", data=data or body, headers=signed(body, **headers))
    async with request as response:
        return response.status, await response.json(content_type=None)


async def test_delivery_is_stored_acknowledged_and_logged_once(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store)
    body = encode(Order("1"))
    status, answer = await deliver(client, url, body, traceparent=TRACEPARENT, user_agent="erp/" + "1" * 500)
    assert (status, answer) == (202, {"status": "queued", "event_id": answer["event_id"]})
    stored = await store.events.get(answer["event_id"])
    assert stored is not None
    event = stored["event"]
    assert (event["source"], event["type"], event["body"]) == ("erp-orders", "order.updated", body)
    assert event["traceparent"] == TRACEPARENT
    assert event["headers"] == {"content-type": "application/json", "user-agent": "erp/" + "1" * 252}
    [line] = lines("delivery.received")
    assert {**line, "timestamp": "", "duration_ms": 0, "version": "", "instance": ""} == {
        "timestamp": "",
        "version": "",
        "instance": "",
        "level": "info",
        "component": "service",
        "message": "delivery.received",
        "source_name": "erp-orders",
        "event_type": "order.updated",
        "delivery_status": "queued",
        "http_status": 202,
        "duration_ms": 0,
        "body_bytes": len(body),
        "event_id": answer["event_id"],
        "trace_id": TRACEPARENT[3:35],
        "sender_event_id": "1",
        "weight": 1,
    }


async def test_secrets_and_bodies_are_not_logged(
    settings: Settings,
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = await serve(settings, store)
    body = encode(Order("1", note="Ada Lovelace"))
    await deliver(client, url, body, authorization="Bearer hidden-token")
    await deliver(client, url, body + b"x", data=body)
    written = capfd.readouterr().out
    assert written.count("delivery.received") == 2
    for hidden in ("Ada", "hidden-token", signed(body)["x-signature"], "s3cret"):
        assert hidden not in written


async def test_new_trace_id_is_the_event_id(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    _, answer = await deliver(client, url, encode(Order("1")), traceparent="00-nonsense")
    stored = await store.events.get(answer["event_id"])
    assert stored is not None
    assert stored["event"]["traceparent"].split("-")[1] == answer["event_id"]


async def test_responses_are_not_cacheable_and_have_no_server_header(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    body = encode(Order("1"))
    for path, method in (("/webhooks/erp-orders", "POST"), ("/webhooks/nobody", "POST"), ("/healthz", "GET")):
        async with client.request(method, url + path, data=body, headers=signed(body)) as response:
            assert "server" not in response.headers
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize(("excess", "status"), [(0, 202), (1, 413)], ids=["at the limit", "one byte over"])
async def test_body_limit_is_exact(
    *,
    excess: int,
    status: int,
    is_chunked: bool,
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(make_settings(body_bytes_max=200_000), store)
    body = encode(Order("1"), 200_000 + excess)
    answered, _ = await deliver(client, url, body, data=in_chunks(body, 50_000) if is_chunked else body)
    assert answered == status


async def test_body_in_many_small_chunks_is_joined(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    body = encode(Order("1"), 500)
    status, answer = await deliver(client, url, body, data=in_chunks(body, 7))
    assert status == 202
    stored = await store.events.get(answer["event_id"])
    assert stored is not None
    assert stored["event"]["body"] == body


async def test_concurrent_deliveries_of_one_event_queue_it_once(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    body = encode(Order("1"))
    answers = await asyncio.gather(*[deliver(client, url, body) for _ in range(40)])
    assert {status for status, _ in answers} == {202}
    assert sorted(answer["status"] for _, answer in answers) == ["duplicate"] * 39 + ["queued"]
    assert len({answer["event_id"] for _, answer in answers}) == 1
    assert (await store.sample()).pending == 1


async def test_delivery_without_a_record_is_ignored_and_not_stored(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    def read(delivery: Delivery) -> ParsedDelivery:
        return ParsedDelivery((Fact("ping"),), (delivery.body,))

    url = await serve(settings, store, {"erp-orders": msgspec.structs.replace(sources["erp-orders"], parser=read)})
    assert await deliver(client, url, encode(Order("1"))) == (202, {"status": "ignored", "event_id": None})
    [line] = lines("delivery.received")
    assert (line["delivery_status"], line["event_type"], line["event_id"]) == ("ignored", "ping", None)
    assert (await store.sample()).pending == 0


async def test_unknown_record_kind_is_logged_as_the_reason(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    def read(delivery: Delivery) -> ParsedDelivery:
        return ParsedDelivery((Fact("product.updated", reason="unknown_kind"),), (delivery.body,))

    url = await serve(settings, store, {"erp-orders": msgspec.structs.replace(sources["erp-orders"], parser=read)})
    assert await deliver(client, url, encode(Order("1"))) == (202, {"status": "ignored", "event_id": None})
    [line] = lines("delivery.received")
    assert (line["delivery_status"], line["reason"]) == ("ignored", "unknown_kind")


async def test_delivery_of_several_facts_lists_each_outcome(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    def read(delivery: Delivery) -> ParsedDelivery:
        orders = [Fact("order.updated", str(n), "updated", RecordRef("erp", "purchase_order", str(n))) for n in (1, 2)]
        return ParsedDelivery((*orders, Fact("ping")), (delivery.body,) * 3)

    url = await serve(settings, store, {"erp-orders": msgspec.structs.replace(sources["erp-orders"], parser=read)})
    status, answer = await deliver(client, url, encode(Order("1")))
    assert (status, [each["status"] for each in answer["events"]]) == (202, ["queued", "queued", "ignored"])
    assert answer["event_id"] == answer["events"][0]["event_id"]
    [line] = lines("delivery.received")
    ids = [each["event_id"] for each in answer["events"][:2]]
    assert (line["events"], line["event_ids"], line["event_id"]) == (3, ids, ids[0])
    assert line["ignored"] == 1
    assert (await store.sample()).pending == 2


async def test_options_answers_the_cloudevents_handshake(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    handshake_headers = {"webhook-request-origin": "events.example.com", "webhook-request-rate": "120"}
    async with client.options(f"{url}/webhooks/erp-orders", headers=handshake_headers) as response:
        assert response.status == 200
        assert response.headers["allow"] == "POST, OPTIONS"
        assert response.headers["webhook-allowed-origin"] == "events.example.com"
        assert response.headers["webhook-allowed-rate"] == "*"
    async with client.options(
        f"{url}/webhooks/erp-orders", headers={"webhook-request-origin": "a.example"}
    ) as response:
        assert response.headers["webhook-allowed-rate"] == "*"  # required for a valid permission
    async with client.options(f"{url}/webhooks/erp-orders", headers={"webhook-request-origin": "a b"}) as response:
        assert "webhook-allowed-origin" not in response.headers
    async with client.options(f"{url}/webhooks/nobody", headers=handshake_headers) as response:
        assert response.status == 404


async def test_full_backlog_is_answered_503_and_stores_nothing(
    make_settings: Callable[..., Settings], serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    settings = make_settings(backlog_events_max=1, retry_after_seconds=7)
    store = await open_store(settings)
    url = await serve(settings, store)
    assert (await deliver(client, url, encode(Order("1"))))[0] == 202
    async with client.post(
        f"{url}/webhooks/erp-orders", data=encode(Order("2")), headers=signed(encode(Order("2")))
    ) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "7")
        assert (await response.json(content_type=None))["code"] == "store_full"
    rejected = lines("delivery.received")[-1]
    assert (rejected["reason"], rejected["event_type"]) == ("store_full", "order.updated")
    assert (await store.sample()).pending == 1
    await store.close()


async def test_killed_store_is_answered_503_and_loses_no_acknowledged_event(
    own_valkey: Callable[..., EmbeddedValkey],
    make_settings: Callable[..., Settings],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    server = own_valkey()
    settings = make_settings(redis_url=server.url, ingest_timeout_seconds=0.5)
    store = await open_store(settings)
    url = await serve(settings, store)
    _, first = await deliver(client, url, encode(Order("1")))
    server.kill()
    status, problem = await deliver(client, url, encode(Order("2")))
    assert (status, problem["code"]) == (503, "store_unavailable")
    own_valkey()
    status, _ = await deliver(client, url, encode(Order("2")))
    assert status == 202
    _, again = await deliver(client, url, encode(Order("1")))
    assert again == {"status": "duplicate", "event_id": first["event_id"]}
    await store.close()


async def test_hanging_store_is_answered_503_within_the_timeout(
    own_valkey: Callable[..., EmbeddedValkey],
    make_settings: Callable[..., Settings],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    server = own_valkey()
    settings = make_settings(redis_url=server.url, ingest_timeout_seconds=0.3)
    store = await open_store(settings)
    url = await serve(settings, store)
    server.process.send_signal(signal.SIGSTOP)
    started_at = asyncio.get_running_loop().time()
    status, _ = await deliver(client, url, encode(Order("1")))
    server.process.send_signal(signal.SIGCONT)
    assert status == 503
    assert asyncio.get_running_loop().time() - started_at < 2
    assert (await deliver(client, url, encode(Order("1"))))[0] == 202
    assert (await store.sample()).pending == 1
    await store.close()


async def test_deliveries_are_answered_503_until_the_store_opens(
    *,
    own_valkey: Callable[..., EmbeddedValkey],
    make_settings: Callable[..., Settings],
    serve: Serve,
    client: aiohttp.ClientSession,
    tmp_path: Path,
    lines: Lines,
) -> None:
    missing = make_settings(redis_url=f"unix://{tmp_path}/nobody.sock")
    addresses = [missing, missing, make_settings(redis_url=own_valkey().url)]
    monitor = StoreMonitor(missing, lambda _: open_shards(addresses.pop(0)))
    await monitor.probe()
    await monitor.probe()
    (line,) = lines("store.unavailable")  # logged once, at the first probe
    assert "nobody.sock" in line["reason"]
    url = await serve(missing, monitor)
    status, problem = await deliver(client, url, encode(Order("1")))
    assert (status, problem["code"]) == (503, "store_unavailable")
    await monitor.probe()
    assert (await deliver(client, url, encode(Order("1"))))[0] == 202
    assert lines("store.recovered")
    await monitor.close()


async def in_chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_large_delivery_is_parsed_in_a_thread(
    settings: Settings, store: Store, sources: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    source, threads = sources["erp-orders"], list[str]()

    def parse(delivery: Delivery) -> ParsedDelivery:
        threads.append(threading.current_thread().name.partition("_")[0])
        return source.parser(delivery)

    url = await serve(settings, store, {"erp-orders": msgspec.structs.replace(source, parser=parse)})
    for size in (LARGE_BYTES, LARGE_BYTES + 1):
        body = encode(Order(str(size)), size)
        async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
            assert response.status == 202
    body = b"[" * (LARGE_BYTES + 1)
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 400
    assert threads == ["MainThread", "waybill-compute", "waybill-compute"]
