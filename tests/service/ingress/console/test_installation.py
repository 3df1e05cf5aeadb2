"""Sources, platform accounts, settings and configuration."""

from urllib.parse import quote

import pytest
from msgspec import structs

from service.management.settings_view import list_settings
from service.settings import Settings
from service.store.management.audit import ENTRIES_MAX

from .conftest import NAUGHTY, Browser, NewBrowser
from .scenario import ENVIRON, Scenario, order

pytestmark = pytest.mark.slow


async def test_an_account_is_paused_and_resumed(browser: Browser, scenario: Scenario) -> None:
    assert "pack is paused." in (await browser.post("/platforms/pack/pause")).page.text
    page = (await browser.get("/platforms/pack")).page.text
    assert "paused" in page
    assert "rule.update write rule, body" in page
    assert "pack is paused" in (await browser.get("/")).page.text
    assert "pack is resumed." in (await browser.post("/platforms/pack/resume")).page.text
    assert "paused" not in (await browser.get("/platforms")).page.text
    assert (await browser.post("/platforms/nothing/pause")).status == 404
    assert (await browser.get("/platforms/nothing")).status == 404
    assert scenario.url


async def test_a_record_is_read_from_the_platform(browser: Browser, scenario: Scenario) -> None:
    catalog = scenario.worker.sandbox.sandbox.catalog
    record = order("po-1", 3, 2) | {"note": NAUGHTY, "email": "kim@example.com"}
    catalog.put("pack_cloud", "purchase_order", "po-1", record)
    answer = await browser.post("/platforms/pack/read", operation="purchase_order.get", arguments="purchase_order=po-1")
    assert "quantity_received" in answer.page.text
    assert "kim@example.com" not in answer.text
    for operation, arguments, field in (
        ("", "", "operation"),
        ("nothing", "", "arguments"),
        ("purchase_order.get", "", "arguments"),
        ("purchase_order.get", NAUGHTY.replace("=", ""), "arguments"),
    ):
        answer = await browser.post("/platforms/pack/read", operation=operation, arguments=arguments)
        assert (answer.status, f"{field}-error" in answer.page.ids) == (422, True), (operation, arguments)
        assert arguments in answer.page.text or not arguments


async def test_settings_show_references_instead_of_secrets(new_browser: NewBrowser, scenario: Scenario) -> None:
    admin = new_browser()
    await admin.log_in("admin")
    page = (await admin.get("/settings")).page
    assert "env: SHOP_SECRET" in page.raw
    assert "WAYBILL_LEASE_SECONDS 20.0" in page.text
    assert not [value for value in ENVIRON.values() if len(value) > 1 and value in page.raw]
    assert scenario.worker.sandbox.token not in page.raw


def test_credentials_of_the_store_are_not_shown() -> None:
    secret = structs.replace(Settings(), redis_url="redis://ann:pw-1@store:6379/0", redis_password="pw-2")
    shown = {setting.name: (setting.value, setting.changed) for setting in list_settings(secret)}
    assert shown["WAYBILL_REDIS_URL"] == ("redis://[redacted]@store:6379/0", True)
    assert shown["WAYBILL_REDIS_PASSWORD"] == ("set", True)
    assert shown["WAYBILL_REDIS_SENTINEL_PASSWORD"] == ("", False)
    assert "pw-" not in str(shown)


async def test_changes_are_listed_with_their_actor(browser: Browser, filled: Scenario) -> None:
    await browser.post("/platforms/pack/pause")
    await browser.post(f"/events/{filled.dead}/replay")
    await filled.worker.store.audit.add(b"damaged")
    page = (await browser.get("/audit")).page
    assert "ann-operator operator console 127.0.0.1 platform.paused pack" in page.text
    assert f"/events/{filled.dead}" in page.links
    assert "platform.paused" not in (await browser.get(f"/audit?q={filled.dead}")).page.text
    assert "No change matches" in (await browser.get(f"/audit?q={quote(NAUGHTY)}")).page.text


async def test_the_store_keeps_the_newest_changes(scenario: Scenario) -> None:
    audit = scenario.worker.store.audit
    for number in range(3):
        await audit.add(b"%d" % number)
    await scenario.worker.store.client.command("LPUSH", "wb:audit", *(b"x" for _ in range(ENTRIES_MAX)))
    await audit.add(b"last")
    entries = await audit.entries()
    assert (len(entries), entries[0]) == (ENTRIES_MAX, b"last")
