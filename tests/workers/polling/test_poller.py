"""Polls: one event a change, by one poller at a time, through limits, deaths and lists that slip."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
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
from service.platforms.api.shared_throttle import SharedThrottles
from service.platforms.base import ListedRecord
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle, running_sandbox
from service.settings import Settings
from service.store import Store, open_store
from service.store.platforms.polls import PollLease, RecordFingerprint
from tests.platform_accounts import pexip_token_url, platform_configs
from tests.waiting import until
from workers.polling.changes import PollSource, detect_change, fingerprint, ingest_request
from workers.polling.poller import PollDependencies, PollPass, poll_source

pytestmark = pytest.mark.store

ENGAGE = PollSource("engage-customers", "engage", "customer", 3_600, 60_000)
OFN = PollSource("ofn-customers", "ofn", "customer", 3_600, 60_000)
FLOW = PollSource("flow-customers", "flow", "customer", 3_600, 60_000)
ERP = PollSource("erp-customers", "erp", "customer", 3_600, 60_000)
PACK = PollSource("pack-orders", "pack", "purchase_order", 3_600, 60_000)


def customer(number: int, at: str = "2026-01-01T00:00:00.000Z", **fields: Any) -> dict[str, Any]:
    return {"firstName": f"c{number}", "updatedAt": at, "deletedAt": None, **fields}


class Desk:
    """A store, the four platforms, and passes over their lists."""

    def __init__(self, settings: Settings, store: Store, box: SandboxHandle, platforms: Mapping[str, Platform]) -> None:
        self.settings = settings
        self.store = store
        self.box = box
        self.catalog = box.sandbox.catalog
        self.platforms = platforms
        self.lines: list[dict[str, Any]] = []

    def tools(self, poll: PollSource) -> PollDependencies:
        return PollDependencies(self.settings, self.store, self.store, self.platforms[poll.account])

    async def due(self, poll: PollSource) -> None:
        await self.store.client.command("HDEL", f"{self.settings.key_prefix}poll:{poll.source}", "due")

    async def make_pass(self, poll: PollSource, token: str = "t") -> dict[str, Any]:
        await self.due(poll)
        turn = await self.store.polls.claim(poll.source, token, self.settings.lease_seconds)
        assert isinstance(turn, PollLease)
        with capture_logs() as lines:
            await PollPass(self.tools(poll), poll, token, turn).run()
        self.lines = [dict(line) for line in lines]
        return self.lines[-1]

    async def events(self) -> list[tuple[str, str]]:
        ids = [summary.id for summary in await self.store.events.page("open", 100)]
        shown = [await self.store.events.get(event_id) for event_id in ids]
        found = [item["event"] for item in shown if item]
        return sorted((event["record"].id, event["change"]) for event in found)


def counts(line: Mapping[str, Any]) -> tuple[str, int, int, int]:
    return line["event"], line["records_listed"], line["changed"], line["missed"]


@pytest.fixture
async def desk(make_settings: Callable[..., Settings]) -> AsyncIterator[Desk]:
    settings = make_settings(lease_seconds=20, fetch_timeout_seconds=10)
    token = {"env": "T"}
    async with running_sandbox() as box, HttpClient(settings) as outbound:
        raw = {
            "pack": {"kind": "pack_cloud", "organization_id": "o", "token": token},
            "engage": {
                "kind": "pexip_engage",
                "enterprise": "acme",
                "client_id": token,
                "client_secret": token,
                "token_url": pexip_token_url(box),
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
                box.base_url(str(account["kind"])) if account["kind"] != "custom" else f"{box.url}/erp"
            )
        store = await open_store(settings)
        sharing = SharedThrottles(store.limits, store.tokens, 1)
        configs = platform_configs(raw)
        yield Desk(settings, store, box, build_platforms(configs, {"T": box.token}, outbound, sharing))
        await store.close()


def listed(number: int, state: str, *, deleted: bool = False) -> ListedRecord:
    return ListedRecord(str(number), None, state, deleted)


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_every_change_of_a_state_is_one_event_with_a_claim_of_its_own(states: list[str]) -> None:
    known: RecordFingerprint | None = None
    claims: list[str] = []
    for state in states:
        found = detect_change(listed(1, state), known, first=False)
        if found:
            claims.append(ingest_request(OFN, found).claim)
            assert ingest_request(OFN, found).claim == claims[-1], "whoever finds it makes the same"
        known = fingerprint(listed(1, state), known)
    changes = sum(before != after for before, after in zip([None, *states], states, strict=False))
    assert len(claims) == len(set(claims)) == changes


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (listed(1, "a"), listed(1, "b"), "updated"),
        (listed(1, "a"), listed(1, "b", deleted=True), "deleted"),
        (listed(1, "a", deleted=True), listed(1, "b"), "created"),
        (listed(1, "a", deleted=True), listed(1, "b", deleted=True), "updated"),
    ],
)
def test_what_is_seen_of_a_record_tells_the_change(before: ListedRecord, after: ListedRecord, change: str) -> None:
    found = detect_change(after, fingerprint(before, None), first=False)
    assert found is not None
    assert found.change == change


async def test_the_first_pass_only_looks(desk: Desk) -> None:
    for number in range(230):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    assert counts(await desk.make_pass(ENGAGE)) == ("poll.finished", 230, 0, 0)
    assert counts(await desk.make_pass(ENGAGE)) == ("poll.finished", 230, 0, 0)
    assert await desk.events() == []


async def test_the_first_pass_takes_in_all_there_is_if_asked_to(desk: Desk) -> None:
    for number in range(3):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await desk.make_pass(structs.replace(ENGAGE, existing=True))
    assert await desk.events() == [("0", "created"), ("1", "created"), ("2", "created")]


async def test_each_change_is_one_event(desk: Desk) -> None:
    for number in range(4):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await desk.make_pass(ENGAGE)
    later = "2026-02-01T00:00:00.000Z"
    desk.catalog.put("pexip_engage", "customer", "1", customer(1, later))
    desk.catalog.put("pexip_engage", "customer", "2", customer(2, later, deletedAt=later))
    desk.catalog.put("pexip_engage", "customer", "9", customer(9))
    desk.catalog.delete("pexip_engage", "customer", "3")
    assert counts(await desk.make_pass(ENGAGE)) == ("poll.finished", 4, 4, 0)
    assert counts(await desk.make_pass(ENGAGE)) == ("poll.finished", 4, 0, 0)
    assert await desk.events() == [("1", "updated"), ("2", "deleted"), ("3", "deleted"), ("9", "created")]


async def test_without_versions_the_content_tells_and_a_state_that_comes_back_is_a_change(desk: Desk) -> None:
    def put(name: str) -> None:
        attributes = {"id": 7, "enterprise_id": 2, "email": "a@example.com", "first_name": name}
        desk.catalog.put("open_food_network", "customer", "7", {"attributes": attributes})

    for name, changed in [("Ann", 0), ("Bea", 1), ("Ann", 1), ("Ann", 0), ("Bea", 1)]:
        put(name)
        assert counts(await desk.make_pass(OFN)) == ("poll.finished", 1, changed, 0)
    assert await desk.events() == [("7", "updated")] * 3


async def test_a_list_in_the_order_of_changes_is_followed_only_as_far_as_something_is_new(desk: Desk) -> None:
    for number in range(450):
        day = f"2026-01-{1 + number % 28:02d}T00:00:00.000Z"
        desk.catalog.put("flow_retail", "customer", f"u{number}", {"lastModifiedAt": day})
    assert counts(await desk.make_pass(FLOW)) == ("poll.finished", 450, 0, 0)
    assert counts(await desk.make_pass(FLOW)) == ("poll.finished", 200, 0, 0)
    desk.catalog.put("flow_retail", "customer", "u3", {"lastModifiedAt": "2026-03-01T00:00:00.000Z"})
    assert counts(await desk.make_pass(FLOW)) == ("poll.finished", 400, 1, 0)


async def test_purchase_orders_are_followed_while_they_are_open_and_when_they_are_finished(desk: Desk) -> None:
    def put(number: int, status: str, at: str) -> None:
        fields: dict[str, object] = {"status": status, "created_at": f"2026-01-{1 + number:02d}", "updated_at": at}
        desk.catalog.put("pack_cloud", "purchase_order", f"po-{number}", fields)

    for number in range(20):
        put(number, "completed" if number < 15 else "ordered", "2026-01-20T00:00:00Z")
    await desk.make_pass(PACK)
    put(16, "received", "2026-01-21T00:00:00Z")
    put(17, "completed", "2026-01-21T00:00:00Z")
    desk.catalog.delete("pack_cloud", "purchase_order", "po-18")
    put(20, "created", "2026-01-22T00:00:00Z")
    line = await desk.make_pass(PACK)
    assert line["changed"] == 4
    assert (await desk.make_pass(PACK))["changed"] == 0
    assert await desk.events() == [
        ("po-16", "updated"),
        ("po-17", "updated"),
        ("po-18", "deleted"),
        ("po-20", "created"),
    ]


async def test_one_poller_at_a_time_and_the_late_one_writes_nothing(desk: Desk) -> None:
    polls, lease = desk.store.polls, desk.settings.lease_seconds
    first = await polls.claim("s", "one", 0.5)
    assert isinstance(first, PollLease)
    assert isinstance(await polls.claim("s", "two", lease), float)

    async def is_taken_over() -> bool:
        return isinstance(await polls.claim("s", "two", lease), PollLease)

    await until(is_taken_over)
    with pytest.raises(LeaseLost):
        await polls.save_page("s", "one", lease, first, {"1": RecordFingerprint("0" * 16)})
    assert await polls.known("s", "two", lease, ["1"]) == {"1": None}


@pytest.mark.slow
async def test_a_poller_that_dies_between_taking_in_and_noting_makes_no_second_event(desk: Desk) -> None:
    for number in range(150):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await desk.make_pass(ENGAGE)
    later = "2026-02-01T00:00:00.000Z"
    for number in (3, 120):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number, later))
    await desk.due(ENGAGE)
    turn = await desk.store.polls.claim(ENGAGE.source, "dying", desk.settings.lease_seconds)
    assert isinstance(turn, PollLease)
    brief = structs.replace(desk.settings, lease_seconds=1)
    dying = PollPass(PollDependencies(brief, desk.store, desk.store, desk.platforms["engage"]), ENGAGE, "dying", turn)
    page = await desk.platforms["engage"].list_records("customer", None, CallContext(""))
    await dying._take_in(page.items)
    assert await desk.events() == [("3", "updated")]
    await asyncio.sleep(1.1)
    assert (await desk.make_pass(ENGAGE, "next"))["changed"] == 2
    assert await desk.events() == [("120", "updated"), ("3", "updated")]


async def test_a_pass_goes_on_where_another_poller_left_it(desk: Desk) -> None:
    for number in range(150):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    desk.box.sandbox.faults.add(Fault(match="/pexip_engage/enterprises/acme/customers?offset=100", status=500))
    line = await desk.make_pass(ENGAGE)
    assert (line["event"], line["error_kind"], line["http_status"]) == ("poll.interrupted", "platform_unavailable", 500)
    assert line["operation"] == "pexip_engage.customer.list"
    seen = Fault(match="/pexip_engage/enterprises/acme/customers", times=99)
    desk.box.sandbox.faults.add(seen)
    assert counts(await desk.make_pass(ENGAGE, "other")) == ("poll.finished", 150, 0, 0)
    assert seen.times == 98, "only the page that failed was asked for again"


async def test_a_pause_of_the_platform_is_kept_by_the_poll(desk: Desk) -> None:
    desk.catalog.put("pexip_engage", "customer", "1", customer(1))
    desk.box.sandbox.faults.add(Fault(match="/pexip_engage/enterprises", status=429, retry_after=30))
    line = await desk.make_pass(ENGAGE)
    assert (line["event"], line["error_kind"]) == ("poll.interrupted", "platform_rate_limited")
    assert line["seconds"] >= 30
    assert isinstance(await desk.store.polls.claim(ENGAGE.source, "x", 1), float)


async def test_a_short_pause_is_waited_for_within_the_pass(desk: Desk) -> None:
    desk.catalog.put("open_food_network", "customer", "1", {"attributes": {}})
    desk.box.sandbox.faults.add(Fault(match="/open_food_network", status=503))
    tools = PollDependencies(
        structs.replace(desk.settings, lease_seconds=10), desk.store, desk.store, desk.platforms["ofn"]
    )
    turn = await desk.store.polls.claim(OFN.source, "t", 10)
    assert isinstance(turn, PollLease)
    with capture_logs() as lines:
        await PollPass(tools, OFN, "t", turn).run()
    assert [line["event"] for line in lines] == ["platform.circuit_opened", "platform.circuit_closed", "poll.finished"]


@pytest.mark.parametrize("status", [401, 404])
async def test_a_list_that_is_refused_or_not_there_is_no_empty_list(desk: Desk, status: int) -> None:
    desk.catalog.put("pexip_engage", "customer", "1", customer(1))
    await desk.make_pass(ENGAGE)
    desk.box.sandbox.faults.add(Fault(match="/pexip_engage/enterprises", status=status, times=2))
    line = await desk.make_pass(ENGAGE)
    assert line["event"] == "poll.interrupted"
    assert await desk.events() == []


CIRCLES: list[tuple[PollSource, str, str, list[tuple[str, str]]]] = [
    (ERP, "/erp", '[{"id": "1", "email": "%s"}, {"id": "2"}]', [("1", "updated")]),
    (PACK, "/pack_cloud", '{"data": [], "links": {"next": "/x?at=%s"}}', []),
]


@pytest.mark.parametrize("circle", CIRCLES, ids=lambda circle: circle[1])
async def test_a_list_that_goes_in_circles_is_told_of_and_has_an_end(
    desk: Desk, circle: tuple[PollSource, str, str, list[tuple[str, str]]]
) -> None:
    """A system that does not know `page`, or whose last page leads to its first, shows the same for ever."""
    poll, match, body, changes = circle
    for state in ("a", "a", "b"):
        endless = Fault(match=match, status=200, body=body % state, times=300)
        desk.box.sandbox.faults.clear()
        desk.box.sandbox.faults.add(endless)
        await desk.make_pass(poll)
        assert endless.times > 290
    assert await desk.events() == changes
    told = [(line["event"], line.get("error_kind")) for line in desk.lines]
    assert told == [("poll.interrupted", "platform_list_circles"), ("poll.finished", None)]


async def test_beside_deliveries_what_none_told_is_a_miss_and_what_one_told_is_not_taken_in_again(desk: Desk) -> None:
    poll = structs.replace(ENGAGE, beside=True)
    for number in (1, 2):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await desk.make_pass(poll)
    later, version = "2026-02-01T00:00:00.000Z", "2026-02-01T00:00:00.000000Z"
    for number in (1, 2):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number, later))
    lane = RecordRef("engage", "customer", "1").lane
    await desk.store.client.command("SET", f"{desk.settings.key_prefix}record:{lane}", f"d\n{version}\nupdated\n")
    assert counts(await desk.make_pass(poll)) == ("poll.finished", 2, 2, 1)
    assert await desk.events() == [("2", "updated")]


@pytest.mark.slow
async def test_many_workers_poll_and_every_change_is_taken_in_once(desk: Desk) -> None:
    poll = structs.replace(ENGAGE, every_seconds=0.05)
    for number in range(5):
        desk.catalog.put("pexip_engage", "customer", str(number), customer(number))
    await desk.make_pass(poll)
    workers = [asyncio.create_task(poll_source(desk.tools(poll), poll)) for _ in range(3)]
    for step in range(6):
        at = f"2026-02-01T00:00:{step:02d}.000Z"
        desk.catalog.put("pexip_engage", "customer", "1", customer(1, at))

        async def is_taken_in(count: int = step + 1) -> bool:
            return len(await desk.events()) >= count

        await until(is_taken_in)
    for worker in workers:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    assert await desk.events() == [("1", "updated")] * 6
