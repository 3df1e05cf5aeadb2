"""Every action of the console in Chromium, the live list, and a list that does not move while it loads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from service.log import configure
from service.management import live
from service.settings import Settings
from tests.service.ingress.admin.conftest import TOKENS
from tests.service.ingress.console.scenario import SECRET, Scenario, add_event, add_rejected, fill, open_scenario, order
from tests.waiting import PATIENCE_SECONDS

from .chromium import DESKTOP, Chromium, Windows
from .test_console import SHIFT_MAX

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system_tool("chromium", package="chromium"),
    pytest.mark.system_tool("chromedriver", package="chromium-driver"),
]

RULE = """id: any-order
type: purchase_order
when: {field: id, op: exists}
actions: [{id: note, do: log, message: hello}]
"""


SLOW_BYTES_PER_SECOND = 4_000
"""Speed at which the list of events arrives in more than two seconds, and a browser shows a part of it before."""

REPLACED = ("does not belong to the document", "No node with given id found")
"""Errors of chromedriver while a page is replaced, which selenium does not know as a stale element."""


def is_replaced(element: WebElement) -> bool:
    """Return whether the page of an element was replaced."""
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException as error:
        if not any(text in str(error.msg) for text in REPLACED):
            raise
        return True
    return False


class Steps:
    """A browser of one role, and calls into the loop of the test."""

    def __init__(self, browser: Chromium, scenario: Scenario, loop: asyncio.AbstractEventLoop) -> None:
        self.browser, self.scenario, self.loop = browser, scenario, loop

    def run(self, call: object) -> object:
        return asyncio.run_coroutine_threadsafe(call, self.loop).result()  # type: ignore[arg-type]

    def submit(self, selector: str, *, confirmed: bool = False) -> None:
        """Click a button, confirm the question, and wait for the next page."""
        before = self.browser.find("html")
        self.browser.find(selector).click()
        if confirmed:
            self.browser.driver.switch_to.alert.accept()
        wait = WebDriverWait(self.browser.driver, PATIENCE_SECONDS, 0.05)
        wait.until(lambda _: is_replaced(before))
        self.browser.wait_for("main")

    def notice(self, tone: str = "ok") -> str:
        return self.browser.wait_for(f".notice.{tone}").text


@pytest.fixture
async def scenario(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Scenario]:
    configure("service")
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=20, attempts_max=1)
    async with open_scenario(settings, tmp_path) as opened:
        await fill(opened)
        yield opened


async def drive(windows: Windows, scenario: Scenario, steps: Callable[[Steps], None]) -> None:
    loop = asyncio.get_running_loop()

    def run() -> None:
        with windows.open(scenario.url) as browser:
            browser.resize(DESKTOP)
            browser.start_session(TOKENS["admin"])
            steps(Steps(browser, scenario, loop))
            # A form with a mistake is answered with 422.
            assert [error for error in browser.errors() if "422 (Unprocessable" not in error] == []

    await asyncio.to_thread(run)


def change_events(steps: Steps) -> None:
    browser, dead = steps.browser, f"/events/{steps.scenario.dead}"
    browser.open(dead)
    steps.submit("form [name=dry_run] ~ button")
    assert steps.notice().startswith("planned")
    steps.submit("form[action$='/dry-run'] button")
    assert "Evaluated now" in browser.wait_for("#tab").text
    assert "matches:" in browser.find("#tab").text
    assert browser.violations() == []
    browser.open(dead)
    steps.submit("form[action$='/discard'] button")
    assert "Give a reason" in browser.wait_for("#reason-error").text
    assert browser.violations() == []
    browser.find("#reason").send_keys("sent by hand")
    steps.submit("form[action$='/discard'] button")
    assert steps.notice().startswith("discarded")
    browser.open(f"/events/{steps.scenario.matched}")
    browser.find("details.menu summary").click()
    steps.submit("form [name=rerun_done] ~ button")
    assert steps.notice().startswith("replayed")


async def test_events_are_replayed_evaluated_and_discarded(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, change_events)
    await scenario.worker.run_worker()
    assert (await scenario.worker.stored_event(scenario.dead))["outcome"] == "discarded"
    assert len([path for path in scenario.worker.sandbox.sandbox.sink.requests if "claims" in path.path]) == 2


def change_dead_letters(steps: Steps) -> None:
    browser = steps.browser
    browser.open("/dead-letters")
    browser.find("[data-rows] [data-open]").click()
    browser.wait_for_path("/dead-letters/selection")
    browser.press("j", "x")
    assert browser.count("[data-rows] input:checked") == 1
    steps.submit("button[value=discard]")
    assert browser.wait_for(".field-error").text
    browser.find("#reason").send_keys("sent by hand")
    steps.submit("button[value=discard]")
    assert "1" in browser.wait_for("#progress, .notice").text


async def test_dead_letters_are_selected_and_discarded(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, change_dead_letters)
    assert (await scenario.worker.stored_event(scenario.dead))["outcome"] == "discarded"


def change_quarantine(steps: Steps) -> None:
    browser, scenario = steps.browser, steps.scenario
    body = b'{"event_code": "purchase_order.updated", "id": "e-1", "data": {"id": "po-4714"}}'
    good = str(steps.run(add_rejected(scenario.worker, body, SECRET)))
    browser.open(f"/quarantine/{scenario.rejected}")
    steps.submit("form[action$='/diagnose'] button")
    assert "still rejected" in steps.notice("warn")
    assert browser.violations() == []
    steps.submit("form[action$='/delete'] button", confirmed=True)
    assert "is deleted" in steps.notice()
    browser.open(f"/quarantine/{good}")
    steps.submit("form[action$='/diagnose'] button")
    assert "verifies now" in steps.notice()
    steps.submit("form[action$='/release'] button")
    assert "Released" in steps.notice()
    steps.run(add_rejected(scenario.worker, body.replace(b"e-1", b"e-2"), SECRET))
    browser.open("/quarantine")
    steps.submit("form[action='/quarantine/release'] button", confirmed=True)
    assert "1 released" in steps.notice()


async def test_deliveries_are_verified_released_and_deleted(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, change_quarantine)
    assert await scenario.worker.store.quarantine.sources() == []


def change_rules(steps: Steps) -> None:
    browser = steps.browser
    browser.open("/editor")
    browser.evaluate("document.getElementById('text').value = ''")
    browser.find("#text").send_keys(RULE)
    browser.find("#target").send_keys("pack:purchase_order:po-4711")
    steps.submit("button[name=evaluate]")
    assert "matched" in browser.find("#trial").text
    steps.submit("button[name=compare]")
    assert "matched" in browser.wait_for("#trial table").text
    assert browser.violations() == []
    steps.submit("form.editor > div button.primary, button.primary")
    browser.wait_for_path("/rules/any-order")
    steps.submit("form[action$='/delete'] button", confirmed=True)
    browser.wait_for_path("/rules")
    browser.open("/history")
    assert browser.count("[data-rows] tbody tr") == 3
    steps.submit("form[action='/history/rollback'] button", confirmed=True)
    browser.wait_for_path("/")
    browser.open("/audit")
    assert "rulebook.rolled_back" in browser.find("main").text


async def test_a_rule_is_evaluated_published_deleted_and_rolled_back(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, change_rules)


def send_a_test(steps: Steps) -> None:
    browser = steps.browser
    browser.open("/sources/shop")
    browser.find("#record_id").send_keys("po-4711")
    steps.submit("form[action$='/test'] button")
    assert "202" in browser.find("form[action$='/test'] ~ p").text
    assert browser.violations() == []
    browser.find("form[action$='/test'] ~ p > a").click()
    browser.wait_for_path("/events/")
    assert "purchase_order.updated" in browser.find("h1").text


async def test_a_test_delivery_leads_to_its_event(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, send_a_test)


def follow_the_list(steps: Steps) -> None:
    browser, worker = steps.browser, steps.scenario.worker
    browser.open("/events?source=shop")
    browser.wait_for("[data-help]:not([hidden])")
    browser.press("j")
    selected = browser.find("tr[aria-selected=true] [data-open]").get_attribute("href")
    browser.evaluate("window.isSamePage = true")
    other = str(steps.run(add_event(worker, "po-5000", order("po-5000", 1, 1), source="till-orders")))
    new = str(steps.run(add_event(worker, "po-5001", order("po-5001", 1, 1))))
    browser.wait_for(f"[data-rows] a[href='/events/{new}']")
    assert browser.count(f"[data-rows] a[href='/events/{other}']") == 0
    assert browser.evaluate("return window.isSamePage") is True
    assert browser.find("tr[aria-selected=true] [data-open]").get_attribute("href") == selected
    steps.run(worker.run_worker())
    browser.wait_for(f"tr:has(a[href='/events/{new}']) .chip:not(.info)")


async def test_the_list_of_events_follows_arrivals_and_keeps_the_selected_row(
    windows: Windows, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PENDING_MS", 0)
    await drive(windows, scenario, follow_the_list)


def open_slowly(steps: Steps) -> None:
    steps.browser.open("/")  # fetches the style sheet and the script
    steps.browser.slow_down(SLOW_BYTES_PER_SECOND)
    steps.browser.open("/events")
    assert steps.browser.layout_shift() < SHIFT_MAX


async def test_the_list_of_events_does_not_move_while_it_loads_slowly(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, open_slowly)
