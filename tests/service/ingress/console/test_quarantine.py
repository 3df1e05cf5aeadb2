"""Quarantine: list, diagnosis, release and deletion of rejected deliveries."""

import msgspec
import pytest
from msgspec import structs

from .conftest import NAUGHTY, Browser, NewBrowser
from .scenario import TILL_SECRET, Scenario, add_rejected

pytestmark = pytest.mark.slow

BODY = b'{"id":"ev-1","type":"order.updated","order":"1","email":"kim@example.com"}'


async def test_rejected_deliveries_are_listed_by_source(browser: Browser, filled: Scenario) -> None:
    page = (await browser.get("/quarantine")).page
    assert f"/quarantine/{filled.rejected}" in page.links
    assert "shop not verified 401 45 B" in page.text
    assert f"/quarantine/{filled.rejected}" in (await browser.get("/quarantine?source=shop")).page.links
    assert "No rejected delivery of till-orders" in (await browser.get("/quarantine?source=till-orders")).page.text
    assert (await browser.get("/quarantine/nothing")).status == 404


async def test_a_delivery_is_diagnosed_and_not_released_before_it_verifies(browser: Browser, filled: Scenario) -> None:
    base = f"/quarantine/{filled.rejected}"
    diagnosed = (await browser.post(f"{base}/diagnose")).page.text
    assert "The delivery is still rejected: not_verified." in diagnosed
    assert "No scheme verifies the delivery with a configured secret." in diagnosed
    assert "still rejected" in (await browser.post(f"{base}/release")).page.text
    assert (await browser.get(base)).status == 200
    assert "is deleted" in (await browser.post(f"{base}/delete")).page.text
    assert (await browser.post(f"{base}/delete")).status == 404


async def test_a_delivery_that_verifies_now_is_released(browser: Browser, filled: Scenario) -> None:
    rejected = await add_rejected(filled.worker, BODY, TILL_SECRET, "till-orders")
    other = await add_rejected(filled.worker, BODY.replace(b"ev-1", b"ev-2"), TILL_SECRET, "till-orders")
    wrong = await add_rejected(filled.worker, BODY, "wrong", "till-orders")
    assert "The delivery verifies now." in (await browser.post(f"/quarantine/{rejected}/diagnose")).page.text
    released = (await browser.post(f"/quarantine/{rejected}/release")).page
    assert "queued" in released.text
    (event_id,) = [link.removeprefix("/events/") for link in released.links if link.startswith("/events/")]
    assert (await browser.get(f"/events/{event_id}")).status == 200
    answer = await browser.post("/quarantine/release", source="till-orders")
    assert "1 released" in answer.page.text
    assert "1 rejected" in answer.page.text
    assert [(await browser.get(f"/quarantine/{each}")).status for each in (other, wrong)] == [404, 200]
    answer = await browser.post("/quarantine/release", source="")
    assert (answer.status, "source-error" in answer.page.ids) == (422, True)


async def test_credentials_and_bodies_are_shown_to_their_role_only(new_browser: NewBrowser, filled: Scenario) -> None:
    rejected = await add_rejected(filled.worker, BODY)
    base = f"/quarantine/{rejected}"
    for role, body, raw in (("viewer", False, 403), ("operator", True, 403), ("admin", True, 200)):
        browser = new_browser()
        await browser.log_in(role)  # type: ignore[arg-type]
        page = (await browser.get(base)).page
        assert ("ev-1" in page.raw, "kim@example.com" in page.raw) == (body, False)
        assert "x-signature [64 characters]" in page.text
        assert ("post", f"{base}/release") in page.forms or role == "viewer"
        answer = await browser.get(f"{base}?raw=true")
        assert (answer.status, "kim@example.com" in answer.text) == (raw, raw == 200)


async def test_hostile_headers_and_bodies_are_shown_as_text(new_browser: NewBrowser, filled: Scenario) -> None:
    stored = await filled.worker.store.quarantine.get(filled.rejected)
    assert stored is not None
    hostile = structs.replace(
        stored, id="x" + stored.id[1:], code=NAUGHTY, headers={NAUGHTY: NAUGHTY, "content-type": NAUGHTY},
        body=msgspec.json.encode({NAUGHTY: NAUGHTY}), path_token=NAUGHTY,
    )  # fmt: skip
    await filled.worker.store.quarantine.put([hostile])
    admin = new_browser()
    await admin.log_in("admin")
    for path in ("/quarantine", f"/quarantine/{hostile.id}", f"/quarantine/{hostile.id}?raw=true"):
        answer = await admin.get(path)
        assert (answer.status, "<script>alert" in answer.text) == (200, False)
        assert "alert(1)" in answer.page.text
