"""Polls: one event per change and one poller at a time, also with limits, crashes and lists that change."""

import asyncio
import contextlib
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from structlog.testing import capture_logs

from service.errors import LeaseLost
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, Platform
from service.platforms.base import ListedRecord
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle, running_sandbox
from service.settings import Settings
from service.store import Shards, Store, open_store
from service.store.platforms.polls import PollLease, RecordFingerprint
from service.throttles.throttles import SharedThrottles
from tests.platform_accounts import pexip_token_url, platform_configs
from tests.waiting import until
from workers.polling.changes import PollSource, detect_change, fingerprint, ingest_request
from workers.polling.poll_pass import ITEMS_MAX, UNPROVEN_MAX, PollDependencies, PollPass
from workers.polling.poller import poll_source

pytestmark = pytest.mark.store

ENGAGE = PollSource("engage-customers", "engage", "customer", 3_600, 60_000)
OFN = PollSource("ofn-customers", "ofn", "customer", 3_600, 60_000)
FLOW = PollSource("flow-customers", "flow", "customer", 3_600, 60_000)
ERP = PollSource("erp-customers", "erp", "customer", 3_600, 60_000)
PACK = PollSource("pack-orders", "pack", "purchase_order", 3_600, 60_000)


def customer(number: int, at: str = "2026-01-01T00:00:00.000Z", **fields: Any) -> dict[str, Any]:
    return {"firstName": f"c{number}", "updatedAt": at, "deletedAt": None, **fields}


class PollHarness:
    """A store, all platforms, and passes over their lists."""

    def __init__(
        self, settings: Settings, store: Store, sandbox: SandboxHandle, platforms: Mapping[str, Platform]
    ) -> None:
        self.settings = settings
        self.store = store
        self.sandbox = sandbox
        self.catalog = sandbox.sandbox.catalog
        self.platforms = platforms
        self.lines: list[dict[str, Any]] = []

    def dependencies(self, poll: PollSource) -> PollDependencies:
        return PollDependencies(self.settings, Shards([self.store]), self.platforms[poll.account])

    async def make_due(self, poll: PollSource) -> None:
        await self.store.client.command("HDEL", f"{self.settings.key_prefix}poll:{poll.source}", "due")

    async def run_pass(self, poll: PollSource, token: str = "t") -> dict[str, Any]:
        await self.make_due(poll)
        lease = await self.store.polls.claim(poll.source, token, self.settings.lease_seconds)
        assert isinstance(lease, PollLease)
        with capture_logs() as lines:
            await PollPass(self.dependencies(poll), poll, token, lease).run()
        self.lines = [dict(line) for line in lines]
        return self.lines[-1]

    async def events(self) -> list[tuple[str, str]]:
        ids = [summary.id for summary in await self.store.events.page("open", 100)]
        shown = [await self.store.events.get(event_id) for event_id in ids]
        events = [item["event"] for item in shown if item]
        return sorted((event["record"].id, event["change"]) for event in events)


def counts(line: Mapping[str, Any]) -> tuple[str, int, int, int]:
    return line["event"], line["records_listed"], line["changed"], line["missed"]


@pytest.fixture
async def polls(make_settings: Callable[..., Settings]) -> AsyncIterator[PollHarness]:
    settings = make_settings(lease_seconds=20, fetch_timeout_seconds=10)
    token = {"env": "T"}
    async with running_sandbox() as sandbox, HttpClient(settings) as outbound:
        raw = {
            "pack": {"kind": "pack_cloud", "organization_id": "o", "token": token},
            "engage": {
                "kind": "pexip_engage",
                "enterprise": "acme",
                "client_id": token,
                "client_secret": token,
                "token_url": pexip_token_url(sandbox),
            },
            "ofn": {"kind": "open_food_network", "token": token},
            "flow": {"kind": "flow_retail", "tenant_uid": "t", "token": token},
            "erp": {
                "kind": "custom",
                "auth": {"type": "none"},
                "records": {"customer": {"path": "/c/{id}", "list": {"path": "/c?page={page}", "next": "page"}}},
            },
        }
        for account in raw.values():
            account["base_url"] = (
                sandbox.base_url(str(account["kind"])) if account["kind"] != "custom" else f"{sandbox.url}/erp"
            )
        store = await open_store(settings)
        throttles = SharedThrottles(store.limits, store.tokens, 1)
        configs = platform_configs(raw)
        yield PollHarness(settings, store, sandbox, build_platforms(configs, {"T": sandbox.token}, outbound, throttles))
        await store.close()


def listed(number: int, state: str, *, version: str | None = None, deleted: bool = False) -> ListedRecord:
    return ListedRecord(str(number), version, state, deleted)


def changes_of(records: Iterable[ListedRecord], content_after: str = "") -> list[str | None]:
    """Return the change that each listing of a record after the first shows, and `+` for one without a new version."""
    known: RecordFingerprint | None = None
    found: list[str | None] = []
    for item in records:
        change = detect_change(item, known, first=known is None)
        found.append(change and change.change + "+" * change.same_version)
        known = fingerprint(item, known, content_after=content_after if known is None else "")
    return found[1:]


V1, V2 = "2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("versions", "states", "changes"),
    [
        ([V1, V1, V1], "aaa", [None, None]),
        ([V1, V1, V1], "abb", ["updated+", None]),
        ([V1, V2, V2, V2], "abcc", ["updated", "updated+", None]),
        # Content that differs in every list, such as a signed URL, makes one event per version.
        ([V1, V1, V1, V1, V2, V2, V2], "abcdefg", ["updated+", None, None, "updated", "updated+", None]),
        # The content of a fetched record is unknown: "" is neither a change nor the loss of the known content.
        ([V1, V1, V1, V1], ["a", "", "a", "b"], [None, None, "updated+"]),
        ([V1, V2, V2], ["a", "", "b"], ["updated", None]),
        # The list begins, or ceases, to have versions.
        ([None, V1, None], "aaa", ["updated", "updated"]),
    ],
)
def test_content_is_compared_within_a_version(
    versions: list[str | None], states: Iterable[str], changes: list[str | None]
) -> None:
    records = [listed(1, state, version=version) for version, state in zip(versions, states, strict=True)]
    assert changes_of(records) == changes


def test_old_content_of_a_first_pass_and_an_older_fingerprint_are_no_change() -> None:
    records = [listed(1, state, version=V1) for state in "ab"]
    assert changes_of(records, content_after=V2) == [None]
    assert changes_of(records, content_after=V1) == ["updated+"]
    version_only = RecordFingerprint(hashlib.sha256(f"{V1}:False".encode()).hexdigest()[:16], 3)
    assert detect_change(records[0], version_only, first=False) is None, "written before the content counted"
    assert fingerprint(records[0], version_only).changes == 3


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_every_change_of_state_is_one_event_with_its_own_dedupe_key(states: list[str]) -> None:
    known: RecordFingerprint | None = None
    dedupe_keys: list[str] = []
    for state in states:
        found = detect_change(listed(1, state), known, first=False)
        if found:
            dedupe_keys.append(ingest_request(OFN, found).dedupe_key)
            assert ingest_request(OFN, found).dedupe_key == dedupe_keys[-1], "every worker builds the same event"
        known = fingerprint(listed(1, state), known)
    changes = sum(before != after for before, after in zip([None, *states], states, strict=False))
    assert len(dedupe_keys) == len(set(dedupe_keys)) == changes


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (listed(1, "a"), listed(1, "b"), "updated"),
        (listed(1, "a"), listed(1, "b", deleted=True), "deleted"),
        (listed(1, "a", deleted=True), listed(1, "b"), "created"),
        (listed(1, "a", deleted=True), listed(1, "b", deleted=True), "updated"),
    ],
)
def test_change_type_follows_from_both_fingerprints(before: ListedRecord, after: ListedRecord, change: str) -> None:
    found = detect_change(after, fingerprint(before, None), first=False)
    assert found is not None
    assert found.change == change


async def test_first_pass_ingests_nothing(polls: PollHarness) -> None:
    for number in range(230):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    ids: set[str] = set()
    for _ in range(2):
        finished = await polls.run_pass(ENGAGE)
        assert counts(finished) == ("poll.finished", 230, 0, 0)
        ids.add(finished["correlation_id"])
    assert len(ids) == 2, "each pass has its own correlation id"
    assert await polls.events() == []


async def test_first_pass_ingests_all_records_if_configured(polls: PollHarness) -> None:
    for number in range(3):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await polls.run_pass(structs.replace(ENGAGE, existing=True))
    assert await polls.events() == [("0", "created"), ("1", "created"), ("2", "created")]


async def test_each_change_is_one_event(polls: PollHarness) -> None:
    for number in range(4):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await polls.run_pass(ENGAGE)
    later = "2026-02-01T00:00:00.000Z"
    polls.catalog.put("pexip_engage", "customer", "1", customer(1, later))
    polls.catalog.put("pexip_engage", "customer", "2", customer(2, later, deletedAt=later))
    polls.catalog.put("pexip_engage", "customer", "9", customer(9))
    polls.catalog.delete("pexip_engage", "customer", "3")
    assert counts(await polls.run_pass(ENGAGE)) == ("poll.finished", 4, 4, 0)
    assert counts(await polls.run_pass(ENGAGE)) == ("poll.finished", 4, 0, 0)
    assert await polls.events() == [("1", "updated"), ("2", "deleted"), ("3", "deleted"), ("9", "created")]


async def test_content_is_compared_without_versions_and_a_returning_state_is_a_change(polls: PollHarness) -> None:
    def put(name: str) -> None:
        attributes = {"id": 7, "enterprise_id": 2, "email": "a@example.com", "first_name": name}
        polls.catalog.put("open_food_network", "customer", "7", {"attributes": attributes})

    for name, changed in [("Ann", 0), ("Bea", 1), ("Ann", 1), ("Ann", 0), ("Bea", 1)]:
        put(name)
        assert counts(await polls.run_pass(OFN)) == ("poll.finished", 1, changed, 0)
    assert await polls.events() == [("7", "updated")] * 3


async def test_pass_over_a_list_sorted_by_change_stops_at_the_first_unchanged_page(polls: PollHarness) -> None:
    for number in range(450):
        day = f"2026-01-{1 + number % 28:02d}T00:00:00.000Z"
        polls.catalog.put("flow_retail", "customer", f"u{number}", {"lastModifiedAt": day})
    assert counts(await polls.run_pass(FLOW)) == ("poll.finished", 450, 0, 0)
    assert counts(await polls.run_pass(FLOW)) == ("poll.finished", 200, 0, 0)
    polls.catalog.put("flow_retail", "customer", "u3", {"lastModifiedAt": "2026-03-01T00:00:00.000Z"})
    assert counts(await polls.run_pass(FLOW)) == ("poll.finished", 400, 1, 0)


async def test_purchase_orders_are_polled_while_open_and_once_after_they_are_finished(polls: PollHarness) -> None:
    def put(number: int, status: str, at: str) -> None:
        fields: dict[str, object] = {"status": status, "created_at": f"2026-01-{1 + number:02d}", "updated_at": at}
        polls.catalog.put("pack_cloud", "purchase_order", f"po-{number}", fields)

    for number in range(20):
        put(number, "completed" if number < 15 else "ordered", "2026-01-20T00:00:00Z")
    await polls.run_pass(PACK)
    put(16, "received", "2026-01-21T00:00:00Z")
    put(17, "completed", "2026-01-21T00:00:00Z")
    polls.catalog.delete("pack_cloud", "purchase_order", "po-18")
    put(20, "created", "2026-01-22T00:00:00Z")
    line = await polls.run_pass(PACK)
    assert line["changed"] == 4
    assert (await polls.run_pass(PACK))["changed"] == 0
    assert await polls.events() == [
        ("po-16", "updated"),
        ("po-17", "updated"),
        ("po-18", "deleted"),
        ("po-20", "created"),
    ]


ORDERED: dict[str, object] = {"status": "ordered", "created_at": "2026-01-01", "updated_at": "2026-01-20T00:00:00Z"}
ORDER_PATH = "/pack_cloud/v1/organizations/o/purchase-orders/"


@pytest.mark.parametrize(
    ("listed", "missing", "deleted"), [(2, 1, 0), (2, 9, 0), (0, UNPROVEN_MAX + 1, 0), (0, UNPROVEN_MAX, UNPROVEN_MAX)]
)
async def test_records_are_deleted_only_if_the_platform_finds_a_listed_one(
    listed: int, missing: int, deleted: int, polls: PollHarness
) -> None:
    numbers = range(listed + missing)
    for number in numbers:
        polls.catalog.put("pack_cloud", "purchase_order", f"po-{number}", ORDERED)
    await polls.run_pass(PACK)
    for number in numbers[listed:]:
        polls.catalog.delete("pack_cloud", "purchase_order", f"po-{number}")
    polls.sandbox.sandbox.faults.add(Fault(match=ORDER_PATH, status=404, times=1_000))
    for _ in range(2):
        line = await polls.run_pass(PACK)
        assert [change for _, change in await polls.events()] == ["deleted"] * deleted
        if not deleted:
            error = (line["event"], line["error_kind"], line["seconds"])
            assert error == ("poll.interrupted", "platform_records_missing", PACK.every_seconds)
            assert "platform.records_missing" in [each["event"] for each in polls.lines]
    polls.sandbox.sandbox.faults.clear()
    polls.catalog.put("pack_cloud", "purchase_order", "po-new", ORDERED)
    line = await polls.run_pass(PACK)
    assert counts(line) == ("poll.finished", listed + 1, missing - deleted + 1, 0)
    assert [change for _, change in await polls.events()] == ["deleted"] * missing + ["created"]


async def test_only_one_poller_has_the_lease_and_a_late_write_is_rejected(polls: PollHarness) -> None:
    poll_store, lease_seconds = polls.store.polls, polls.settings.lease_seconds
    first = await poll_store.claim("s", "one", 0.5)
    assert isinstance(first, PollLease)
    assert isinstance(await poll_store.claim("s", "two", lease_seconds), float)

    async def is_taken_over() -> bool:
        return isinstance(await poll_store.claim("s", "two", lease_seconds), PollLease)

    await until(is_taken_over)
    with pytest.raises(LeaseLost):
        await poll_store.save_page("s", "one", lease_seconds, first, {"1": RecordFingerprint("0" * 16)})
    assert await poll_store.fingerprints("s", "two", lease_seconds, ["1"]) == {"1": None}


@pytest.mark.slow
async def test_crash_between_ingestion_and_saved_page_causes_no_second_event(polls: PollHarness) -> None:
    for number in range(150):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await polls.run_pass(ENGAGE)
    later = "2026-02-01T00:00:00.000Z"
    for number in (3, 120):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number, later))
    await polls.make_due(ENGAGE)
    lease = await polls.store.polls.claim(ENGAGE.source, "crashed", polls.settings.lease_seconds)
    assert isinstance(lease, PollLease)
    settings = structs.replace(polls.settings, lease_seconds=1)
    crashed = PollPass(
        PollDependencies(settings, Shards([polls.store]), polls.platforms["engage"]), ENGAGE, "crashed", lease
    )
    page = await polls.platforms["engage"].list_records("customer", None, CallContext(""))
    await crashed._ingest_changes(page.items)
    assert await polls.events() == [("3", "updated")]
    await asyncio.sleep(1.1)
    assert (await polls.run_pass(ENGAGE, "next"))["changed"] == 2
    assert await polls.events() == [("120", "updated"), ("3", "updated")]


async def test_pass_continues_at_the_cursor_of_another_poller(polls: PollHarness) -> None:
    for number in range(150):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    polls.sandbox.sandbox.faults.add(Fault(match="/pexip_engage/enterprises/acme/customers?offset=100", status=500))
    line = await polls.run_pass(ENGAGE)
    assert (line["event"], line["error_kind"], line["http_status"]) == ("poll.interrupted", "platform_unavailable", 500)
    assert line["operation"] == "pexip_engage.customer.list"
    requests = Fault(match="/pexip_engage/enterprises/acme/customers", times=99)
    polls.sandbox.sandbox.faults.add(requests)
    assert counts(await polls.run_pass(ENGAGE, "other")) == ("poll.finished", 150, 0, 0)
    assert requests.times == 98, "only the failed page was listed again"


async def test_poll_waits_for_the_retry_after_of_the_platform(polls: PollHarness) -> None:
    polls.catalog.put("pexip_engage", "customer", "1", customer(1))
    polls.sandbox.sandbox.faults.add(Fault(match="/pexip_engage/enterprises", status=429, retry_after=30))
    line = await polls.run_pass(ENGAGE)
    assert (line["event"], line["error_kind"]) == ("poll.interrupted", "platform_rate_limited")
    assert line["seconds"] >= 30
    assert isinstance(await polls.store.polls.claim(ENGAGE.source, "x", 1), float)


@pytest.mark.slow
async def test_short_wait_for_the_throttle_happens_within_the_pass(polls: PollHarness) -> None:
    polls.catalog.put("open_food_network", "customer", "1", {"attributes": {}})
    polls.sandbox.sandbox.faults.add(Fault(match="/open_food_network", status=503))
    dependencies = PollDependencies(
        structs.replace(polls.settings, lease_seconds=10), Shards([polls.store]), polls.platforms["ofn"]
    )
    lease = await polls.store.polls.claim(OFN.source, "t", 10)
    assert isinstance(lease, PollLease)
    with capture_logs() as lines:
        await PollPass(dependencies, OFN, "t", lease).run()
    assert [line["event"] for line in lines] == ["platform.circuit_opened", "platform.circuit_closed", "poll.finished"]


@pytest.mark.parametrize("status", [403, 404])
async def test_rejected_or_missing_list_is_not_an_empty_list(polls: PollHarness, status: int) -> None:
    polls.catalog.put("pexip_engage", "customer", "1", customer(1))
    await polls.run_pass(ENGAGE)
    polls.sandbox.sandbox.faults.add(Fault(match="/pexip_engage/enterprises", status=status, times=2))
    line = await polls.run_pass(ENGAGE)
    assert line["event"] == "poll.interrupted"
    assert await polls.events() == []


ENDLESS_LISTS: list[tuple[PollSource, str, str, list[tuple[str, str]]]] = [
    (ERP, "/erp", '[{"id": "1", "email": "%s"}, {"id": "2"}]', [("1", "updated")]),
    (PACK, "/pack_cloud", '{"data": [], "links": {"next": "/x?at=%s"}}', []),
]


@pytest.mark.parametrize("case", ENDLESS_LISTS, ids=lambda case: case[1])
async def test_endless_list_ends_the_pass_with_a_warning(
    polls: PollHarness, case: tuple[PollSource, str, str, list[tuple[str, str]]]
) -> None:
    """The platform ignores the page parameter, or its last page links to the first."""
    poll, match, body, changes = case
    for state in ("a", "a", "b"):
        endless = Fault(match=match, status=200, body=body % state, times=300)
        polls.sandbox.sandbox.faults.clear()
        polls.sandbox.sandbox.faults.add(endless)
        await polls.run_pass(poll)
        assert endless.times > 290
    assert await polls.events() == changes
    logged = [(line["event"], line.get("error_kind")) for line in polls.lines]
    assert logged == [("poll.interrupted", "platform_list_circles"), ("poll.finished", None)]


async def test_page_of_any_size_is_compared_in_parts_outside_the_event_loop(polls: PollHarness) -> None:
    erp: Any = polls.platforms["erp"]
    maps = erp._records._fields
    fields, threads = maps["customer"], set[str]()

    class Probe:
        def read(self, node: Any) -> Any:
            threads.add(threading.current_thread().name)
            return fields.read(node)

    maps["customer"] = Probe()
    for state, changed in (("a", 0), ("b", ITEMS_MAX + 1), ("b", 0)):
        polls.sandbox.sandbox.faults.clear()
        items = [{"id": str(number), "email": state} for number in range(ITEMS_MAX + 1)]
        pages = Fault(match="/erp/c?page=1", status=200, body=json.dumps(items))
        polls.sandbox.sandbox.faults.add(pages)
        polls.sandbox.sandbox.faults.add(Fault(match="/erp/c?page=2", status=200, body="[]"))
        assert counts(await polls.run_pass(ERP)) == ("poll.finished", ITEMS_MAX + 1, changed, 0)
    assert {name.partition("_")[0] for name in threads} == {"waybill-compute"}
    assert (await polls.store.sample()).pending == ITEMS_MAX + 1


async def test_change_without_delivery_is_a_miss_and_a_delivered_change_is_not_ingested(polls: PollHarness) -> None:
    poll = structs.replace(ENGAGE, has_deliveries=True)
    for number in (1, 2):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await polls.run_pass(poll)
    later, version = "2026-02-01T00:00:00.000Z", "2026-02-01T00:00:00.000000Z"
    for number in (1, 2):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number, later))
    lane = RecordRef("engage", "customer", "1").lane
    await polls.store.client.command("SET", f"{polls.settings.key_prefix}record:{lane}", f"d\n{version}\nupdated\n")
    assert counts(await polls.run_pass(poll)) == ("poll.finished", 2, 2, 1)
    assert await polls.events() == [("2", "updated")]


async def test_second_change_within_one_version_is_an_event_also_if_the_version_was_decided(polls: PollHarness) -> None:
    poll, at = structs.replace(ENGAGE, existing=True, has_deliveries=True), "2026-02-01T00:00:00.000Z"
    record = RecordRef("engage", "customer", "1")
    state = "d\n2026-02-01T00:00:00.000000Z\nupdated\n"
    await polls.store.client.command("SET", f"{polls.settings.key_prefix}record:{record.lane}", state)
    for name, changed in (("Ann", 1), ("Bea", 1), ("Bea", 0), ("Cea", 0)):
        polls.catalog.put("pexip_engage", "customer", "1", customer(1, at, lastName=name))
        assert counts(await polls.run_pass(poll)) == ("poll.finished", 1, changed, 0)
    assert await polls.events() == [("1", "updated")]


@pytest.mark.slow
async def test_several_workers_ingest_every_change_once(polls: PollHarness) -> None:
    poll = structs.replace(ENGAGE, every_seconds=0.05)
    for number in range(5):
        polls.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await polls.run_pass(poll)
    workers = [asyncio.create_task(poll_source(polls.dependencies(poll), poll)) for _ in range(3)]
    for step in range(6):
        at = f"2026-02-01T00:00:{step:02d}.000Z"
        polls.catalog.put("pexip_engage", "customer", "1", customer(1, at))

        async def is_ingested(count: int = step + 1) -> bool:
            return len(await polls.events()) >= count

        await until(is_ingested)
    for worker in workers:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    assert await polls.events() == [("1", "updated")] * 6
