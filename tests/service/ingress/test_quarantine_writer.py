"""What becomes of refused deliveries: kept raw beside the events, never at the cost of an answer or of each other."""

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
from service.management.event_view import Visibility
from service.management.quarantine import get_quarantined
from service.management.stores import name_stores
from service.settings import Settings
from service.store import QuarantinedDelivery, Store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.service.ingress.http.test_health import Failing
from tests.waiting import until

BODY = encode(Order("1"))
REFUSAL = Rejection(401, "not_verified", "no")


class Shelf(Failing):
    """A store that keeps refused deliveries in memory, when it is let."""

    def __init__(self) -> None:
        super().__init__(None)
        self.kept: list[QuarantinedDelivery] = []
        self.gate = asyncio.Event()
        self.gone = 0

    async def quarantine_deliveries(self, refused: Sequence[QuarantinedDelivery], /) -> int:
        await self.gate.wait()
        self.kept += refused
        return self.gone


def delivery(source: str = "a", body: bytes = BODY) -> Delivery:
    return Delivery(source, {"x-signature": "s", "cookie": "c", "host": "h"}, body, 1.0, "203.0.113.9", "token")


async def kept_by(store: Store, number: int, source: str = "erp-orders") -> list[QuarantinedDelivery]:
    for _ in range(500):
        if (await store.quarantine.count(source))[0] >= number:
            break
        await asyncio.sleep(0.01)
    return await store.quarantine.read(source, await store.quarantine.ids(source))


async def refuse(client: aiohttp.ClientSession, url: str, body: Any, headers: Mapping[str, str]) -> int:
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=headers) as response:
        return response.status


async def test_a_refused_delivery_is_kept_raw_and_its_line_says_so(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store)
    assert await refuse(client, url, BODY, signed(b"another", cookie="secret")) == 401
    [kept] = await kept_by(store, 1)
    assert (kept.source, kept.code, kept.http_status, kept.body, kept.whole) == (
        "erp-orders", "not_verified", 401, BODY, True,
    )  # fmt: skip
    assert kept.headers["x-signature"] == signed(b"another")["x-signature"]
    assert "cookie" not in kept.headers
    [line] = lines("delivery.received")
    assert (line["reason"], line["quarantined"]) == ("not_verified", True)
    assert (await store.sample()).pending == 0


@pytest.mark.parametrize(("sight", "subject"), [("outline", "[redacted]"), ("raw", "ada@example.com")])
async def test_a_header_that_tells_what_it_is_about_may_be_a_persons_address(
    settings: Settings, store: Store, sight: Visibility, subject: str
) -> None:
    quarantine = QuarantineWriter(settings, store)
    about = msgspec.structs.replace(delivery("erp-orders"), headers={"ce-subject": "ada@example.com", "x-token": "t"})
    assert quarantine.enqueue(about, REFUSAL, whole=True)
    [kept] = await kept_by(store, 1)
    shown = await get_quarantined(name_stores([store]), kept.id, sight)
    assert shown.headers["ce-subject"] == subject
    assert (shown.headers["x-token"] == "t") == (sight == "raw")
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
async def test_every_refusal_a_person_can_mend_is_kept_with_its_cause(
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
    await refuse(client, url, body or bytes(2_000), headers)
    [kept] = await kept_by(store, 1)
    assert (kept.code, kept.whole, kept.body) == (code, whole, body)


async def test_a_mistake_of_ours_keeps_the_delivery_too(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    def misread(_: Delivery) -> ParsedDelivery:
        raise ZeroDivisionError

    url = await serve(settings, store, {"erp-orders": msgspec.structs.replace(sources["erp-orders"], reader=misread)})
    assert await refuse(client, url, BODY, signed(BODY)) == 500
    assert [kept.code for kept in await kept_by(store, 1)] == ["internal"]


async def test_strangers_to_no_source_are_not_kept(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store)
    for method, path in (("POST", "/webhooks/nobody"), ("GET", "/webhooks/erp-orders"), ("POST", "/webhooks")):
        async with client.request(method, url + path, data=BODY, headers=signed(BODY)):
            pass
    told: list[bool] = []
    await until(lambda: told.extend(line["quarantined"] for line in lines("delivery.received")) or len(told) >= 3)
    assert told == [False] * 3
    assert await store.quarantine.sources() == []


async def test_a_quarantine_of_none_keeps_none(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(make_settings(quarantine_deliveries_max=0), store)
    assert await refuse(client, url, b"{", signed(b"{")) == 400
    assert lines("delivery.received")[0]["quarantined"] is False


async def test_a_stuck_store_delays_no_answer(settings: Settings, serve: Serve, client: aiohttp.ClientSession) -> None:
    shelf = Shelf()
    url = await serve(settings, shelf)
    for _ in range(QUEUE_MAX + 20):  # an answer that waited for the store would never come
        assert await refuse(client, url, BODY, signed(b"another")) == 401
    shelf.gate.set()


async def test_what_waits_is_bounded_by_source_and_written_turn_by_turn(settings: Settings) -> None:
    shelf = Shelf()
    quarantine = QuarantineWriter(settings, shelf)
    taken = [quarantine.enqueue(delivery("loud"), REFUSAL, whole=True) for _ in range(100)]
    assert taken.count(True) == QUEUE_MAX
    assert quarantine.enqueue(delivery("quiet"), REFUSAL, whole=True)
    shelf.gate.set()
    await quarantine.close()
    assert [kept.source for kept in shelf.kept].index("quiet") == BATCH_MAX
    assert len(shelf.kept) == QUEUE_MAX + 1
    assert shelf.kept[0].headers == {"x-signature": "s"}
    assert shelf.kept[0].path_token == "token"


async def test_the_bytes_that_wait_are_bounded_but_one_large_delivery_fits(settings: Settings) -> None:
    quarantine = QuarantineWriter(settings, Shelf())
    large = delivery(body=bytes(1_500_000))
    assert [quarantine.enqueue(large, REFUSAL, whole=True) for _ in range(3)] == [True, False, False]
    assert quarantine.enqueue(delivery("b", bytes(3_000_000)), REFUSAL, whole=True)
    assert not quarantine.enqueue(delivery("c", bytes(40_000_000)), REFUSAL, whole=True)


async def test_the_rate_is_bounded_by_source(make_settings: Callable[..., Settings]) -> None:
    shelf = Shelf()
    shelf.gate.set()
    quarantine = QuarantineWriter(make_settings(quarantine_per_minute_max=5), shelf)
    taken = 0
    for _ in range(20):
        taken += quarantine.enqueue(delivery(), REFUSAL, whole=True)
        await asyncio.sleep(0.001)
    assert taken == 5
    assert quarantine.enqueue(delivery("b"), REFUSAL, whole=True)


async def test_a_failing_store_and_a_full_one_are_told_of(settings: Settings, lines: Lines) -> None:
    failing = QuarantineWriter(settings, Failing(StoreUnavailable("gone")))
    assert failing.enqueue(delivery(), REFUSAL, whole=True)
    await failing.close()
    shelf = Shelf()
    shelf.gone = 2
    shelf.gate.set()
    full = QuarantineWriter(settings, shelf)
    assert full.enqueue(delivery(), REFUSAL, whole=True)
    await full.close()
    told = lines("quarantine.failed", "quarantine.full")
    assert [(line["message"], line["level"]) for line in told] == [
        ("quarantine.failed", "warning"), ("quarantine.full", "warning"),
    ]  # fmt: skip
    assert told[0]["error_kind"] == "store_unavailable"


async def test_what_waits_at_the_end_is_still_written(settings: Settings, store: Store) -> None:
    quarantine = QuarantineWriter(settings, store)
    await quarantine.close()
    for _ in range(20):
        quarantine.enqueue(delivery(), REFUSAL, whole=True)
    await quarantine.close()
    assert (await store.quarantine.count("a"))[0] == 20
