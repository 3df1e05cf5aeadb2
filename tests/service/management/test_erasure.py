"""A forgotten customer is nowhere: events, what led to them, refused deliveries, polls, streams. Others stay."""

import time

import msgspec
import pytest

from service.config import SourceConfig
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


def refuse(body: bytes, source: str = "shop", **headers: str) -> QuarantinedDelivery:
    return QuarantinedDelivery(
        1, new_event_id(), source, "not_verified", 401, time.time(), headers, body, None, whole=True
    )


async def everything(house: WorkerHarness) -> bytes:
    parts: list[bytes] = []
    for key in await house.store.client.command("KEYS", "*"):
        parts += [key, await house.store.client.command("DUMP", key)]
    return b"".join(parts)


async def fill(house: WorkerHarness) -> None:
    """Put the customer, and others, wherever a person can be kept."""
    store = house.store
    hint = make("appointment", "a-1", BODY)
    derived = msgspec.structs.replace(make("customer", "ada-7"), id=derived_event_id("f" * 32, ADA.lane))
    led = msgspec.structs.replace(make("appointment", "a-2"), id="f" * 32)
    others = [make("appointment", "a-3", b'{"id": "ada-77"}'), make("customer", "ada-77"), make("customer", "bob")]
    for event in (hint, derived, led, make("customer", "ada-7", BODY), *others):
        await store.ingest(event, event.id, 60_000)
    await store.quarantine_deliveries([refuse(BODY), refuse(b"{}", ce_subject="ada-7"), refuse(b'{"id": "ada-77"}')])
    await store.quarantine_deliveries([refuse(BODY, "another-platforms")])
    for event_id in (derived.id, others[1].id):
        await store.client.command("XADD", "wb:stream:crm", "*", "event_id", event_id, "rule", "r", "data", "{}")
    await store.client.command(
        "HSET", f"wb:polled:shop:{bucket_of('ada-7')}", "ada-7", RecordFingerprint("0" * 16).entry()
    )


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_slip_in_the_platform_s_name_does_not_pass_for_done(
    *, dry_run: bool, house: WorkerHarness, places: list[NamedStore], capfd: pytest.CaptureFixture[str]
) -> None:
    slip = erasure_target("pakc", "ada-7", {}, ["pack"])
    with pytest.raises(Rejection, match="no platform pakc, nor anything of it; one of pack"):
        await erase_customer(places, ANN, slip, dry_run=dry_run)
    assert "customer.erased" not in capfd.readouterr().out
    once = make("customer", "ada-7")
    once = msgspec.structs.replace(once, record=RecordRef("pakc", "customer", "ada-7"))
    await house.store.ingest(once, once.id, 60_000)  # of an account that is configured no more
    assert (await erase_customer(places, ANN, slip, dry_run=dry_run)).events == 1


async def test_a_dry_run_counts_and_erases_nothing(house: WorkerHarness, places: list[NamedStore]) -> None:
    await fill(house)
    before = await everything(house)
    counted = await erase_customer(places, ANN, ADA, dry_run=True)
    assert await everything(house) == before
    assert [getattr(counted, name) for name in COUNTS] == [2, 2, 2, 1, 1, 0]


async def test_a_customer_is_erased_everywhere_and_nobody_else(house: WorkerHarness, places: list[NamedStore]) -> None:
    await fill(house)
    counted = await erase_customer(places, ANN, ADA, dry_run=True)
    erased = await erase_customer(places, ANN, ADA, dry_run=False)
    assert msgspec.structs.replace(erased, dry_run=True) == counted
    await house.store.quarantine.delete("another-platforms", await house.store.quarantine.ids("another-platforms"))
    left = await everything(house)
    assert b"ada-7" not in left.replace(b"ada-77", b"")
    for kept in (b"ada-77", b"pack:customer:bob", b"a-3"):
        assert kept in left
    nothing = await erase_customer(places, ANN, ADA, dry_run=False)
    assert [getattr(nothing, name) for name in COUNTS] == [0] * 6
    swept = await house.store.sweeper.sweep("s")
    assert swept is not None
    assert swept.repaired == 0


async def test_the_quarantine_of_other_platforms_is_left_alone_and_all_of_it_is_searched_unconfigured(
    house: WorkerHarness, places: list[NamedStore]
) -> None:
    await fill(house)
    assert (await erase_customer(places, ANN, ADA, dry_run=True)).quarantined_deliveries == 2
    assert (
        await erase_customer(places, ANN, erasure_target("pack", "ada-7", None), dry_run=True)
    ).quarantined_deliveries == 3


async def test_what_a_run_has_in_hand_is_said_so(house: WorkerHarness, places: list[NamedStore]) -> None:
    await house.send("ada-7", kind="customer")
    await house.store.leases("w9").claim(1)
    erased = await erase_customer(places, ANN, ADA, dry_run=False)
    assert (erased.events, erased.in_progress) == (0, 1)


def test_the_sources_of_the_platform_are_those_that_may_have_told() -> None:
    configs = {
        name: SourceConfig(platform=platform, verify=Unverified(), allow_unverified=True)
        for name, platform in (("a", "pack"), ("b", "flow"), ("c", "pack"))
    }
    assert erasure_target("pack", "1", configs).sources == ("a", "c")


@pytest.mark.parametrize(
    ("body", "named"),
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
def test_an_id_is_found_as_a_word_of_its_own(body: bytes, named: bool) -> None:  # noqa: FBT001 - a table
    assert mentions(body, "ada-7") is named
