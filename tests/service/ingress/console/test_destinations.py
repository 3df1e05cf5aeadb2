"""Pages of destinations: circuits, pause, resume, and the test request."""

import pytest

from .conftest import NAUGHTY, Answer, Browser, NewBrowser
from .scenario import Scenario

pytestmark = pytest.mark.slow


async def send_test(browser: Browser, name: str, method: str, path: str) -> Answer:
    fields = {"form_token": browser.form_token, "method": method, "path": path}
    return await browser.submit(f"/destinations/{name}/test", fields)


async def test_a_destination_is_paused_and_resumed(browser: Browser, new_browser: NewBrowser) -> None:
    page = (await browser.get("/destinations")).page
    assert "claims http http://127.0.0.1:9 closed \u2013 0 Pause" in page.text
    assert "claims is paused." in (await browser.post("/destinations/claims/pause")).page.text
    assert "paused" in (await browser.get("/destinations/claims")).page.text
    viewer = new_browser()
    await viewer.log_in("viewer")
    assert "Resume" not in (await viewer.get("/destinations")).page.text
    assert (await viewer.post("/destinations/claims/resume")).status == 403
    assert "claims is resumed." in (await browser.post("/destinations/claims/resume")).page.text
    assert (await browser.post("/destinations/nothing/pause")).status == 404
    assert (await browser.get("/destinations/nothing")).status == 404


async def test_the_configuration_has_references_instead_of_secrets(browser: Browser, scenario: Scenario) -> None:
    page = (await browser.get("/destinations/claims")).page
    assert "env: PACK_TOKEN" in page.raw
    assert "in_flight: 4" in page.raw
    assert scenario.worker.sandbox.token not in page.raw
    assert "takes the role admin" in page.text
    assert (await send_test(browser, "claims", "GET", "")).status == 403


async def test_a_test_request_is_shown_with_its_answer_or_error(new_browser: NewBrowser) -> None:
    admin = new_browser()
    await admin.log_in("admin")
    answer = await send_test(admin, "claims", "HEAD", "/health")
    assert (answer.status, "HEAD http://127.0.0.1:9/health" in answer.page.text) == (200, True)
    assert "connect" in answer.page.text
    for method, path in (("GET", NAUGHTY), ("TRACE", "")):
        answer = await send_test(admin, "claims", method, path)
        assert (answer.status, "path-error" in answer.page.ids) == (422, True), (method, path)
    assert (await send_test(admin, "nothing", "GET", "")).status == 404
