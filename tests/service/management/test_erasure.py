"""Erasure removes a customer from events, hints, quarantine, polls and streams. Other customers stay."""

import time

import msgspec
import pytest

from service.config import PlatformConfig, SourceConfig
from service.errors import Rejection
from service.events import EVENT_VERSION, Event, RecordRef, derived_event_id, new_event_id
from service.management.erasure import ErasureTarget, erase_customer, erasure_target, mentions
from service.management.stores import NamedStore
from service.signatures import Unverified
from service.store import QuarantinedDelivery
from service.store.platforms.polls import RecordFingerprint, bucket_of
from tests.service.management.conftest import ANN
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store

ADA = ErasureTarget("pack", "ada-7", ("shop",))
BODY = b'{"data": {"id": "ada-7"}}'
COUNTS = ("events", "hints", "quarantined_deliveries", "stream_entries", "poll_entries", "in_progress")


def make(kind: str, record_id: str, body: bytes = b"{}") -> Event:
    record = RecordRef("pack", kind, record_id)
    return Event(EVENT_VERSION, new_event_id(), "shop", f"{kind}.updated", "updated", record, None, {}, None, body)


def quarantined(body: bytes, source: str = "shop", **headers: str) -> QuarantinedDelivery:
    return QuarantinedDelivery(
        1, new_event_id(), source, "not_verified", 401, time.time(), headers, body, None, whole=True
    )


async def dump(harness: WorkerHarness) -> bytes:
    parts: list[bytes] = []
    for key in await harness.store.client.command("KEYS", "*"):
        parts += [key, await harness.store.client.command("DUMP", key)]
    return b"".join(parts)


async def fill(harness: WorkerHarness) -> None:
    """Store the customer, and others, in every place that holds personal data."""
    store = harness.store
    hint = make("appointment", "a-1", BODY)
    derived = msgspec.structs.replace(make("customer", "ada-7"), id=derived_event_id("f" * 32, ADA.lane))
    led = msgspec.structs.replace(make("appointment", "a-2"), id="f" * 32)
    others = [make("appointment", "a-3", b'{"id": "ada-77"}'), make("customer", "ada-77"), make("customer", "bob")]
    for event in (hint, derived, led, make("customer", "ada-7", BODY), *others):
        await store.ingest(event, event.id, 60_000)
    await store.quarantine_deliveries(
        [quarantined(BODY), quarantined(b"{}", ce_subject="ada-7"), quarantined(b'{"id": "ada-77"}')]
    )
    await store.quarantine_deliveries([quarantined(BODY, "another-platforms")])
    for event_id in (derived.id, others[1].id):
        await store.client.command("XADD", "wb:stream:crm", "*", "event_id", event_id, "rule", "r", "data", "{}")
    await store.client.command(
        "HSET", f"wb:polled:shop:{bucket_of('ada-7')}", "ada-7", RecordFingerprint("0" * 16).entry()
    )


@pytest.mark.parametrize("dry_run", [True, False])
async def test_an_unknown_platform_without_items_is_rejected(
    *, dry_run: bool, harness: WorkerHarness, stores: list[NamedStore], capfd: pytest.CaptureFixture[str]
) -> None:
    misspelled = erasure_target("pakc:customer:ada-7", {}, {"pack": PlatformConfig()})
    with pytest.raises(Rejection, match="Platform account pakc not found, nor any item of it"):
        await erase_customer(stores, ANN, misspelled, dry_run=dry_run)
    assert "customer.erased" not in capfd.readouterr().out
    once = make("customer", "ada-7")
    once = msgspec.structs.replace(once, record=RecordRef("pakc", "customer", "ada-7"))
    await harness.store.ingest(once, once.id, 60_000)  # of an account that was removed from the configuration
    assert (await erase_customer(stores, ANN, misspelled, dry_run=dry_run)).events == 1


async def test_a_dry_run_counts_and_erases_nothing(harness: WorkerHarness, stores: list[NamedStore]) -> None:
    await fill(harness)
    before = await dump(harness)
    counted = await erase_customer(stores, ANN, ADA, dry_run=True)
    assert await dump(harness) == before
    assert [getattr(counted, name) for name in COUNTS] == [2, 2, 2, 1, 1, 0]


async def test_only_the_customer_is_erased(harness: WorkerHarness, stores: list[NamedStore]) -> None:
    await fill(harness)
    counted = await erase_customer(stores, ANN, ADA, dry_run=True)
    erased = await erase_customer(stores, ANN, ADA, dry_run=False)
    assert msgspec.structs.replace(erased, dry_run=True) == counted
    await harness.store.quarantine.delete("another-platforms", await harness.store.quarantine.ids("another-platforms"))
    left = await dump(harness)
    assert b"ada-7" not in left.replace(b"ada-77", b"")
    for other in (b"ada-77", b"pack:customer:bob", b"a-3"):
        assert other in left
    nothing = await erase_customer(stores, ANN, ADA, dry_run=False)
    assert [getattr(nothing, name) for name in COUNTS] == [0] * 6
    swept = await harness.store.sweeper.sweep("s")
    assert swept is not None
    assert swept.repaired == 0


async def test_quarantine_is_erased_by_platform_and_completely_without_a_configuration(
    harness: WorkerHarness, stores: list[NamedStore]
) -> None:
    await fill(harness)
    assert (await erase_customer(stores, ANN, ADA, dry_run=True)).quarantined_deliveries == 2
    assert (
        await erase_customer(stores, ANN, erasure_target("pack:customer:ada-7", None, {}), dry_run=True)
    ).quarantined_deliveries == 3


async def test_an_event_in_progress_is_reported_and_not_erased(
    harness: WorkerHarness, stores: list[NamedStore]
) -> None:
    await harness.send("ada-7", kind="customer")
    await harness.store.leases("w9").claim(1)
    erased = await erase_customer(stores, ANN, ADA, dry_run=False)
    assert (erased.events, erased.in_progress) == (0, 1)


def test_the_target_has_the_sources_of_its_platform() -> None:
    configs = {
        name: SourceConfig(platform=platform, verify=Unverified(), allow_unverified=True)
        for name, platform in (("a", "pack"), ("b", "flow"), ("c", "pack"))
    }
    assert erasure_target("pack:customer:1", configs, {}).sources == ("a", "c")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"id": "ada-7"}', True),
        (b'{"id": "ada-77"}', False),
        (b'{"id": "xada-7"}', False),
        (b'{"id": "\\u0061da-7"}', True),
        (b"id=ada%2D7&x=1", True),
        (b"/customers/ada-7/orders", True),
        (b"", False),
        (b"\xff\xfe", False),
    ],
)
def test_an_id_is_found_as_a_whole_word(body: bytes, found: bool) -> None:  # noqa: FBT001 - a table
    assert mentions(body, "ada-7") is found
