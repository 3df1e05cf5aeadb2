"""Sources: their state, and test deliveries through the webhook port."""

import pytest

from service.sending.source_tester import TEST_YEAR, USER_AGENT
from tests.waiting import until

from .conftest import NAUGHTY, Browser, NewBrowser
from .scenario import Scenario, order

pytestmark = pytest.mark.slow

EVENT = "purchase_order.updated"


async def test_sources_show_their_address_and_state(browser: Browser, filled: Scenario) -> None:
    page = (await browser.get("/sources")).page
    assert "shop /webhooks/shop copy pack hmac 72 h 1" in page.text
    assert "/quarantine?source=shop" in page.links
    assert filled.queued


async def test_a_source_shows_limits_and_references_instead_of_secrets(browser: Browser, scenario: Scenario) -> None:
    page = (await browser.get("/sources/shop")).page
    assert (
        "/webhooks/shop copy Verified by hmac 1 secret Account pack Last event none Last 24 hours 0 events" in page.text
    )
    assert "Dedupe window 72 h Verified deliveries no limit Body 1.0 MiB Events per delivery 1000" in page.text
    assert "env: SHOP_SECRET" in page.raw
    assert page.fields["event"] == EVENT
    assert (await browser.get("/sources/nothing")).status == 404
    assert scenario.url


async def test_a_test_delivery_is_verified_stored_and_processed(browser: Browser, filled: Scenario) -> None:
    worker = filled.worker
    worker.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-9", order("po-9", 4, 4))
    ids: list[str] = []
    for _ in range(2):  # the second one is no duplicate
        page = (await browser.post("/sources/shop/test", event=EVENT, record_id="po-9")).page
        assert "queued 202 in" in page.text
        ids += [link.removeprefix("/events/") for link in page.links if link.startswith("/events/")]
    assert len(set(ids)) == 2
    await worker.store.flush_arrivals()
    assert "Last 24 hours 5 events" in (await browser.get("/sources/shop")).page.text
    await worker.run_worker()
    for event_id in ids:
        stored = await worker.stored_event(event_id)
        assert stored["state"] == "ended", "the time of the event does not make the record stale"
    delivery = (await browser.get(f"/events/{ids[0]}?tab=delivery")).page.text
    assert f"user-agent {USER_AGENT}" in delivery
    assert f'"occurred_at": "{TEST_YEAR}-' in delivery
    assert "ann-operator operator console 127.0.0.1 source.tested shop" in (await browser.get("/audit")).page.text


async def until_quarantined(scenario: Scenario) -> None:
    """Wait for the rejected delivery: the service answers before it is in quarantine."""

    async def is_there() -> bool:
        return (await scenario.worker.store.quarantine.count("shop"))[0] == 1

    await until(is_there)


async def test_an_ignored_and_a_rejected_test_show_the_answer(browser: Browser, scenario: Scenario) -> None:
    page = (await browser.post("/sources/shop/test", event="invoice.paid", record_id="1")).page
    assert "ignored 202 in" in page.text
    assert not [link for link in page.links if link.startswith("/events/")]
    page = (await browser.post("/sources/shop/test", event=NAUGHTY, record_id="1")).page
    assert "rejected 422 in" in page.text
    assert "unrecognized_event" in page.text
    assert "/quarantine?source=shop" in page.links
    await until_quarantined(scenario)


async def test_a_wrong_field_has_a_message_and_keeps_its_text(browser: Browser, scenario: Scenario) -> None:
    for event, record_id, field in ((EVENT, "", "record_id"), ("", "1", "event"), ("x" * 201, "1", "event")):
        answer = await browser.post("/sources/shop/test", event=event, record_id=record_id)
        assert (answer.status, f"{field}-error" in answer.page.ids) == (422, True), field
        assert (answer.page.fields["event"], answer.page.fields["record_id"]) == (event, record_id)
    answer = await browser.post("/sources/shop/test", event=NAUGHTY, record_id=NAUGHTY)
    assert (answer.status, "rejected 422 in" in answer.page.text) == (200, True)
    assert (await browser.post("/sources/nothing/test", event=EVENT, record_id="1")).status == 404
    await until_quarantined(scenario)


async def test_a_test_takes_a_role_and_a_form_token(new_browser: NewBrowser, scenario: Scenario) -> None:
    viewer, admin = new_browser(), new_browser()
    await viewer.log_in("viewer")
    await admin.log_in("admin")
    assert "A test takes the role operator." in (await viewer.get("/sources/shop")).page.text
    fields = {"event": EVENT, "record_id": "1"}
    assert (await viewer.post("/sources/shop/test", **fields)).status == 403
    assert (await admin.submit("/sources/shop/test", fields)).status == 403
    assert (await scenario.worker.store.quarantine.count("shop"))[0] == 0
    assert (await admin.post("/sources/shop/test", **fields)).status == 200
