"""Quarantine of rejected deliveries: raw, in the background, and bounded per source."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
import pytest

from service.envelopes import ParsedDelivery
from service.errors import Rejection, StoreUnavailable
from service.events import Delivery
from service.ingestion.sources import Source
from service.ingress.quarantine_writer import BATCH_MAX, QUEUE_MAX, QuarantineWriter
from service.management.audit_log import Actor
from service.management.quarantine import QuarantineOperations
from service.settings import Settings
from service.store import QuarantinedDelivery, Store
from tests.service.ingress.admin.conftest import installation_of
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.service.ingress.http.test_health import FailingStore
from tests.waiting import until

BODY = encode(Order("1"))
REJECTION = Rejection(401, "not_verified", "no")


class BlockingStore(FailingStore):
    """Store that blocks until `unblocked`, then keeps quarantined deliveries in memory."""

    def __init__(self) -> None:
        super().__init__(None)
        self.stored: list[QuarantinedDelivery] = []
        self.unblocked = asyncio.Event()
        self.removed = 0

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> int:
        await self.unblocked.wait()
        self.stored += deliveries
        return self.removed


def delivery(source: str = "a", body: bytes = BODY) -> Delivery:
    return Delivery(source, {"x-signature": "s", "cookie": "c", "host": "h"}, body, 1.0, "203.0.113.9", "token")


async def quarantined_deliveries(store: Store, number: int, source: str = "erp-orders") -> list[QuarantinedDelivery]:
    for _ in range(500):
        if (await store.quarantine.count(source))[0] >= number:
            break
        await asyncio.sleep(0.01)
    return await store.quarantine.read(source, await store.quarantine.ids(source))


async def post(client: aiohttp.ClientSession, url: str, body: Any, headers: Mapping[str, str]) -> int:
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=headers) as response:
        return response.status


async def test_rejected_delivery_is_quarantined_raw_and_logged(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store)
    assert await post(client, url, BODY, signed(b"another", cookie="secret")) == 401
    [stored] = await quarantined_deliveries(store, 1)
    assert (stored.source, stored.code, stored.http_status, stored.body, stored.whole) == (
        "erp-orders", "not_verified", 401, BODY, True,
    )  # fmt: skip
    assert stored.headers["x-signature"] == signed(b"another")["x-signature"]
    assert "cookie" not in stored.headers
    [line] = lines("delivery.received")
    assert (line["reason"], line["quarantined"]) == ("not_verified", True)
    assert (await store.sample()).pending == 0


@pytest.mark.parametrize(("raw", "subject"), [(False, "[redacted]"), (True, "ada@example.com")])
async def test_subject_header_of_a_quarantined_delivery_is_redacted(
    settings: Settings, store: Store, subject: str, *, raw: bool
) -> None:
    quarantine = QuarantineWriter(settings, store)
    about = msgspec.structs.replace(delivery("erp-orders"), headers={"ce-subject": "ada@example.com", "x-token": "t"})
    assert quarantine.enqueue(about, REJECTION, whole=True, verified=False)
    [stored] = await quarantined_deliveries(store, 1)
    operations = QuarantineOperations(installation_of(lambda: store), Actor("ann", "admin"))
    shown = await operations.get_quarantined(stored.id, raw=raw)
    assert shown.headers["ce-subject"] == subject
    assert (shown.headers["x-token"] == "t") == raw
    await quarantine.close()


@pytest.mark.parametrize(
    ("code", "headers", "body", "whole"),
    [
        ("malformed_payload", signed(b"{"), b"{", True),
        ("unrecognized_event", signed(b"{}"), b"{}", True),
        ("unsupported_media_type", signed(BODY, content_type="text/plain"), BODY, True),
        ("unsupported_media_type", signed(BODY, content_encoding="br"), b"", False),
        ("payload_too_large", signed(bytes(2_000)), b"", False),
    ],
)
async def test_correctable_rejections_are_quarantined_with_their_code(
    *,
    code: str,
    headers: Mapping[str, str],
    body: bytes,
    whole: bool,
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(make_settings(body_bytes_max=1_000), store)
    await post(client, url, body or bytes(2_000), headers)
    [stored] = await quarantined_deliveries(store, 1)
    assert (stored.code, stored.whole, stored.body) == (code, whole, body)


async def test_delivery_is_quarantined_after_an_unexpected_exception(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    def raise_in_parser(_: Delivery) -> ParsedDelivery:
        raise ZeroDivisionError

    url = await serve(
        settings, store, {"erp-orders": msgspec.structs.replace(sources["erp-orders"], parser=raise_in_parser)}
    )
    assert await post(client, url, BODY, signed(BODY)) == 500
    assert [stored.code for stored in await quarantined_deliveries(store, 1)] == ["internal"]


async def test_requests_to_unknown_sources_are_not_quarantined(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store)
    for method, path in (("POST", "/webhooks/nobody"), ("GET", "/webhooks/erp-orders"), ("POST", "/webhooks")):
        async with client.request(method, url + path, data=BODY, headers=signed(BODY)):
            pass
    logged: list[bool] = []
    await until(lambda: logged.extend(line["quarantined"] for line in lines("delivery.received")) or len(logged) >= 3)
    assert logged == [False] * 3
    assert await store.quarantine.sources() == []


async def test_quarantine_can_be_disabled(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(quarantine_deliveries_max=0), store)
    assert await post(client, url, b"{", signed(b"{")) == 400
    assert lines("delivery.received")[0]["quarantined"] is False


async def test_blocked_store_does_not_delay_responses(
    settings: Settings, serve: Serve, client: aiohttp.ClientSession
) -> None:
    blocking_store = BlockingStore()
    url = await serve(settings, blocking_store)
    for _ in range(QUEUE_MAX + 20):  # a response that waited for the store would never arrive
        assert await post(client, url, BODY, signed(b"another")) == 401
    blocking_store.unblocked.set()


async def test_queue_is_limited_per_source_and_written_round_robin(settings: Settings) -> None:
    blocking_store = BlockingStore()
    quarantine = QuarantineWriter(settings, blocking_store)
    accepted = [quarantine.enqueue(delivery("loud"), REJECTION, whole=True, verified=False) for _ in range(100)]
    assert accepted.count(True) == QUEUE_MAX
    assert quarantine.enqueue(delivery("quiet"), REJECTION, whole=True, verified=False)
    assert quarantine.enqueue(delivery("loud"), REJECTION, whole=True, verified=True)
    blocking_store.unblocked.set()
    await quarantine.close()
    assert [stored.source for stored in blocking_store.stored].index("quiet") == BATCH_MAX
    assert len(blocking_store.stored) == QUEUE_MAX + 2
    assert [stored.verified for stored in blocking_store.stored].count(True) == 1
    assert blocking_store.stored[0].headers == {"x-signature": "s"}
    assert blocking_store.stored[0].path_token == "token"


async def test_queued_bytes_are_limited_but_one_large_delivery_fits(settings: Settings) -> None:
    quarantine = QuarantineWriter(settings, BlockingStore())
    large = delivery(body=bytes(1_500_000))
    assert [quarantine.enqueue(large, REJECTION, whole=True, verified=False) for _ in range(3)] == [True, False, False]
    assert quarantine.enqueue(delivery("b", bytes(3_000_000)), REJECTION, whole=True, verified=False)
    assert not quarantine.enqueue(delivery("c", bytes(40_000_000)), REJECTION, whole=True, verified=False)


async def test_quarantine_rate_is_limited_per_source(make_settings: Callable[..., Settings]) -> None:
    blocking_store = BlockingStore()
    blocking_store.unblocked.set()
    quarantine = QuarantineWriter(make_settings(quarantine_per_minute_max=5), blocking_store)
    accepted = 0
    for _ in range(20):
        accepted += quarantine.enqueue(delivery(), REJECTION, whole=True, verified=False)
        await asyncio.sleep(0.001)
    assert accepted == 5
    assert quarantine.enqueue(delivery("b"), REJECTION, whole=True, verified=False)


async def test_failing_and_full_quarantine_are_logged(settings: Settings, lines: Lines) -> None:
    failing = QuarantineWriter(settings, FailingStore(StoreUnavailable("removed")))
    assert failing.enqueue(delivery(), REJECTION, whole=True, verified=False)
    await failing.close()
    blocking_store = BlockingStore()
    blocking_store.removed = 2
    blocking_store.unblocked.set()
    full = QuarantineWriter(settings, blocking_store)
    assert full.enqueue(delivery(), REJECTION, whole=True, verified=False)
    await full.close()
    logged = lines("quarantine.failed", "quarantine.full")
    assert [(line["message"], line["level"]) for line in logged] == [
        ("quarantine.failed", "warning"), ("quarantine.full", "warning"),
    ]  # fmt: skip
    assert logged[0]["error_kind"] == "store_unavailable"


async def test_close_writes_the_queued_deliveries(settings: Settings, store: Store) -> None:
    quarantine = QuarantineWriter(settings, store)
    await quarantine.close()
    for _ in range(20):
        quarantine.enqueue(delivery(), REJECTION, whole=True, verified=False)
    await quarantine.close()
    assert (await store.quarantine.count("a"))[0] == 20
