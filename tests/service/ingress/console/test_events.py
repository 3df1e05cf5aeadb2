"""Overview, events, and one event: contents, filters, search, replay, and hostile text in every field."""

from urllib.parse import quote

import aiohttp
import msgspec
import pytest

from service.dev.demo_scenario import fetch_path
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.ingress.console.events import PAGE_EVENTS, TABS
from service.management import live
from service.sandbox.faults import Fault
from service.store import Store
from tests.waiting import PATIENCE_SECONDS

from .conftest import NAUGHTY, Browser, NewBrowser
from .scenario import Scenario, add_event, order

LONG = "x" * 600


async def test_the_overview_shows_queue_sources_accounts_and_conditions(browser: Browser, filled: Scenario) -> None:
    text = (await browser.get("/")).page.text
    assert "1 dead letter to replay." in text
    assert "No worker runs: 1 event pending." in text
    assert "1 delivery in quarantine." in text
    assert "Pending 1" in text
    assert "1 ended 1 dead" in text
    for name in ("shop", "till-orders", "pack_cloud", "erp", (await filled.worker.version()) or "-"):
        assert name in text


async def test_the_overview_shows_the_last_error_of_accounts_and_destinations(
    browser: Browser, scenario: Scenario
) -> None:
    limits = scenario.worker.store.limits
    await limits.record_error("pack", "connect", 0)
    await limits.record_error("destination:claims", "target_rejected", 422)
    for path in ("/", "/platforms", "/platforms/pack"):
        assert " connect " in (await browser.get(path)).page.text, path
    for path in ("/", "/destinations", "/destinations/claims"):
        assert "target_rejected 422 " in (await browser.get(path)).page.text, path


async def test_an_empty_installation_is_explained(browser: Browser) -> None:
    overview = (await browser.get("/")).page.text
    assert "No rulebook is active. Publish one: waybill rules apply" in overview
    assert "waybill send SOURCE" in (await browser.get("/events")).page.text


async def test_the_filter_of_the_query_selects_events(browser: Browser, filled: Scenario) -> None:
    nothing: set[str] = set()
    everything = {filled.matched, filled.dead, filled.queued}
    for query, expected in (
        ("", everything),
        ("state=dead", {filled.dead}),
        ("state=queued&source=shop", {filled.queued}),
        ("outcome=matched", {filled.matched}),
        ("record=po-4713", {filled.queued}),
        ("rule=short-receipt&state=dead", {filled.dead}),
        ("error_kind=target_rejected", {filled.dead}),
        ("since=1h", everything),
        ("until=2020-01-01", nothing),
        ("source=till-orders", nothing),
    ):
        page = (await browser.get(f"/events?{query}")).page
        found = {link.removeprefix("/events/") for link in page.links if link.startswith("/events/")}
        assert found == expected, query


async def test_a_wrong_filter_is_reported_beside_its_field(browser: Browser, filled: Scenario) -> None:
    for name, text in (
        ("since", "yesterday"),
        ("state", "late"),
        ("outcome", "gone"),
        ("record", LONG),
        ("until", "9" * 20),
    ):
        page = (await browser.get(f"/events?{name}={quote(text)}")).page
        assert f"{name}-error" in page.ids, name
        assert text in page.raw
        assert filled.matched not in page.raw
    assert (await browser.get("/events?after=nonsense&unknown=1")).status == 200


async def test_pages_of_events_lead_to_older_ones(browser: Browser, store: Store) -> None:
    for number in range(PAGE_EVENTS + 3):
        await store.client.command("ZADD", "wb:dead", 1_000 + number, f"{number:032x}")
    seen: list[str] = []
    path = "/events?state=dead"
    for count in (PAGE_EVENTS, 3):
        page = (await browser.get(path)).page
        rows = [link for link in page.links if link.startswith("/events/0")]
        assert len(rows) == count
        seen += rows
        path = next((link for link in page.links if "after=" in link), "")
    assert len(set(seen)) == PAGE_EVENTS + 3
    assert path == ""


async def test_lists_show_the_ids_that_commands_show_and_addresses_accept_them(
    browser: Browser, filled: Scenario
) -> None:
    short = filled.dead[:16]
    for path in ("/events", "/dead-letters/selection?source=shop", f"/events/{filled.dead}?tab=related"):
        assert f" {short} " in f"{(await browser.get(path)).page.text} ", path
    assert filled.dead in (await browser.get(f"/events/{short}")).page.text
    assert (await browser.get(f"/events/search?q={short}")).headers["location"] == f"/events/{filled.dead}"
    shown = filled.rejected[:16]
    assert f" {shown} " in f"{(await browser.get('/quarantine')).page.text} "
    assert (await browser.get(f"/quarantine/{shown}")).status == 200


async def test_a_search_leads_to_the_only_event(browser: Browser, filled: Scenario) -> None:
    for text in (filled.dead, "po-4712", "pack:purchase_order:po-4712", f"  {filled.dead} "):
        answer = await browser.get(f"/events/search?q={quote(text)}")
        assert (answer.status, answer.headers["location"]) == (303, f"/events/{filled.dead}")
    assert "No event has this id" in (await browser.get("/events/search?q=nothing")).page.text
    assert (await browser.get("/events/search?q=")).headers["location"] == "/events"


@pytest.mark.slow
async def test_each_tab_of_an_event_shows_its_part(browser: Browser, filled: Scenario) -> None:
    expected = {
        "timeline": "Effect short-receipt.claim error",
        "delivery": "user-agent pack/1",
        "record": "status = received received",
        "rules": "true: element 0 quantity_received < quantity_ordered was 10 against 40",
        "effects": " answered 422",
        "log": "Set WAYBILL_LOG_URL for a link to the log store.",
        "related": "purchase_order.updated",
    }
    assert set(expected) == set(TABS)
    for tab, text in expected.items():
        page = (await browser.get(f"/events/{filled.dead}?tab={tab}")).page
        assert text in page.text, tab
        assert (" -> 422 after " in page.text) == (tab == "effects")
        for other in (filled.matched, filled.queued):
            assert (await browser.get(f"/events/{other}?tab={tab}")).status == 200
    assert (await browser.get(f"/events/{filled.dead}?tab=nothing")).status == 404
    assert (await browser.get("/events/nothing")).status == 404


@pytest.mark.slow
async def test_personal_data_is_shown_to_its_role_only(new_browser: NewBrowser, filled: Scenario) -> None:
    delivery, effects = f"/events/{filled.dead}?tab=delivery", f"/events/{filled.dead}?tab=effects"
    for role, body, inputs in (("viewer", False, False), ("operator", True, True), ("admin", True, True)):
        browser = new_browser()
        await browser.log_in(role)  # type: ignore[arg-type]
        pages = [(await browser.get(path)).page for path in (delivery, effects)]
        assert [
            "&#34;email&#34;: &#34;[redacted]&#34;" in pages[0].raw,
            "/_sandbox/sink/claims" in pages[1].raw,
        ] == [body, inputs]
        raw = await browser.get(f"{delivery}&raw=true")
        assert raw.status == (200 if role == "admin" else 403)
        assert ("kim@example.com" in raw.text) == (role == "admin")
        assert all("kim@example.com" not in page.raw for page in pages)
        can_replay = ("post", f"/events/{filled.dead}/replay") in pages[0].forms
        assert can_replay == (role != "viewer")


async def test_a_replay_reports_its_result(
    browser: Browser, filled: Scenario, capfd: pytest.CaptureFixture[str]
) -> None:
    path = f"/events/{filled.dead}/replay"
    assert "planned: the unfinished effects." in (await browser.post(path, dry_run="1")).page.text
    assert (await filled.worker.stored_event(filled.dead))["state"] == "dead"
    assert "replayed: the unfinished effects." in (await browser.post(path)).page.text
    assert "in progress" in (await browser.post(path)).page.text
    await filled.worker.run_worker()
    assert (await filled.worker.stored_event(filled.dead))["outcome"] == "matched"
    assert "skipped" in (await browser.post(path)).page.text
    assert "replayed: the unfinished effects" in (await browser.post(path, rerun_done="1")).page.text
    audit = [line for line in capfd.readouterr().out.splitlines() if '"event.replayed"' in line]
    assert len(audit) == 2
    assert all('"actor":"ann-operator"' in line and '"via":"console"' in line for line in audit)


async def test_a_dead_letter_is_discarded_with_a_reason(browser: Browser, filled: Scenario) -> None:
    path = f"/events/{filled.dead}/discard"
    for reason in ("", "   ", LONG):
        answer = await browser.post(path, reason=reason)
        assert (answer.status, "reason-error" in answer.page.ids) == (422, True)
        assert answer.page.fields["reason"] == reason
    assert "discarded" in (await browser.post(path, reason=NAUGHTY)).page.text
    assert (await browser.post(path, reason="again")).status == 409


async def test_rules_are_evaluated_on_the_current_record(browser: Browser, filled: Scenario) -> None:
    filled.worker.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-4712", order("po-4712", 40, 40))
    text = (await browser.post(f"/events/{filled.dead}/dry-run")).page.text
    assert "Evaluated now" in text
    assert "unmatched short-receipt" in text
    assert "(was 40)" in text


@pytest.mark.slow
async def test_hostile_text_of_senders_is_shown_as_text(browser: Browser, filled: Scenario) -> None:
    """Every page is parsed; an element or attribute that a sender wrote fails the parser's checks."""
    ref = RecordRef("pack", "purchase_order", NAUGHTY[:200])
    event = Event(
        EVENT_VERSION, new_event_id(), NAUGHTY, NAUGHTY, "updated", ref, NAUGHTY, {"x": NAUGHTY}, None,
        msgspec.json.encode({"text": NAUGHTY, NAUGHTY: [NAUGHTY]}),
    )  # fmt: skip
    await filled.worker.store.ingest(event, event.id, 60_000)
    filled.worker.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", ref.id, order(ref.id, 1, 1, NAUGHTY))
    await filled.worker.run_worker()
    paths = [f"/events/{event.id}?tab={tab}" for tab in TABS]
    queries = [f"{name}={quote(NAUGHTY)}" for name in ("source", "type", "record", "rule", "since", "state", "after")]
    paths += [f"/events?{query}" for query in queries] + ["/events", "/", f"/events/search?q={quote(NAUGHTY)}"]
    paths += [f"/events/{quote(NAUGHTY, safe='')}", f"/login?next={quote(NAUGHTY)}", f"/events?after={quote(NAUGHTY)}"]
    shown = 0
    for path in paths:
        answer = await browser.get(path)
        assert answer.status < 500, path
        assert "<script>alert" not in answer.text, path
        assert "5929" not in answer.page.text or "{{77*77}}" in answer.page.text, path
        shown += NAUGHTY[:40] in answer.page.text
    assert shown >= len(TABS)


async def test_errors_are_pages(browser: Browser, filled: Scenario) -> None:
    assert "404 · not found" in (await browser.get("/events/nothing")).page.text
    partial = await browser.get("/events/nothing", hx_request="true")
    assert partial.text.strip().startswith('<div class="notice bad" role="alert">')
    too_large = await browser.post(f"/events/{filled.dead}/discard", reason="x" * 600_000)
    assert (too_large.status, too_large.headers["content-type"]) == (413, "text/html; charset=utf-8")
    many = await browser.submit("/login", {f"f{number}": "1" for number in range(400)})
    assert (many.status, "cannot be read" in many.page.text) == (400, True)


@pytest.mark.slow
async def test_the_first_page_follows_the_events_of_its_filter(
    browser: Browser, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (await browser.get("/events?source=shop")).text
    assert 'sse-connect="/events/live?source=shop"' in page
    assert "sse-connect" not in (await browser.get("/events?until=2h")).text
    assert "sse-connect" not in (await browser.get("/events?since=nonsense")).text
    assert "sse-connect" not in (await browser.get("/events?after=1-a")).text
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    monkeypatch.setattr(live, "PENDING_MS", 0)
    async with browser.session.get(f"{browser.url}/events/live?source=shop", timeout=timeout) as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        await add_event(scenario.worker, "po-1", order("po-1", 1, 1), source="till-orders")
        await add_event(scenario.worker, "po-2", order("po-2", 1, 1))
        while (line := await stream.content.readline()) != b"event: changed\r\n":
            assert line, "the stream ended"
        assert await stream.content.readline() == b"data: 1\r\n"


async def test_the_stream_requires_a_session(new_browser: NewBrowser) -> None:
    answer = await new_browser().get("/events/live")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/events/live")


LOOKUP_RULE = """
- id: other-order
  type: purchase_order
  with:
    found: {kind: purchase_order, id: po-found}
    gone: {kind: purchase_order, id: po-gone, on_missing: unknown}
  when:
    any: [{field: found.status, op: eq, value: cancelled}, {field: gone.status, op: eq, value: cancelled}]
  actions: [{id: log, do: log, message: "{id}"}]
"""


async def test_the_records_that_rules_looked_up_are_shown(browser: Browser, filled: Scenario) -> None:
    worker = filled.worker
    await worker.run_worker()
    await worker.publish(LOOKUP_RULE)
    worker.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-found", order("po-found", 1, 1))
    worker.sandbox.sandbox.faults.add(Fault(match=fetch_path("po-gone"), status=404))
    event_id = await add_event(worker, "po-1", order("po-1", 1, 1))
    await worker.run_worker()
    text = (await browser.get(f"/events/{event_id}?tab=record")).page.text
    assert "Looked-up records" in text
    assert "pack:purchase_order:po-found" in text
    assert "version 2026-11-20T09:15:00" in text
    assert "missing: pack has no such purchase_order (404)" in text
