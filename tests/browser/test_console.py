"""The console in Chromium: accessibility, keyboard, themes, small screens, pages without JavaScript."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from service.log import configure
from service.settings import Settings
from tests.service.ingress.admin.conftest import TOKENS
from tests.service.ingress.console.scenario import Scenario, fill, open_scenario

from .chromium import DESKTOP, PHONE, SMALL, Chromium, Windows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system_tool("chromium", package="chromium"),
    pytest.mark.system_tool("chromedriver", package="chromium-driver"),
]


PARTS = 2
"""Number of tests that share the pages."""
SHIFT_MAX = 0.001
"""Layout shift (share of the window) that nobody sees; Chromium calls 0.1 good."""


@pytest.fixture
async def scenario(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Scenario]:
    configure("service")
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=20, attempts_max=1)
    async with open_scenario(settings, tmp_path) as opened:
        await fill(opened)
        yield opened


async def drive(windows: Windows, scenario: Scenario, steps: Callable[[Chromium, Scenario], None]) -> None:
    """Run the steps in a thread, since the server runs in the loop of the test."""

    def run() -> None:
        with windows.open(scenario.url) as browser:
            browser.resize(DESKTOP)
            steps(browser, scenario)
            assert browser.errors() == []

    await asyncio.to_thread(run)


LISTS = (
    "",
    "events",
    "dead-letters",
    "quarantine",
    "rules",
    "history",
    "sources",
    "platforms",
    "destinations",
    "audit",
    "settings",
)


def pages(scenario: Scenario) -> list[str]:
    event = f"/events/{scenario.dead}"
    tabs = [f"{event}?tab={tab}" for tab in ("timeline", "delivery", "record", "rules", "effects", "log", "related")]
    single = [
        f"/quarantine/{scenario.rejected}",
        "/rules/short-receipt",
        "/editor",
        "/sources/shop",
        "/platforms/pack",
        "/destinations/claims",
    ]
    return [*(f"/{name}" for name in LISTS), *tabs, "/dead-letters/selection?source=shop", *single]


CUT_OFF = """return [...document.querySelectorAll(".scroll:has(.events, .log)")]
  .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.scrollWidth)"""
"""Script that returns the widths of lists of events and log lines that do not fit."""


def check_page(browser: Chromium, path: str) -> None:
    for size in (PHONE, DESKTOP):
        browser.resize(size)
        browser.open(path)
        assert browser.layout_shift() < SHIFT_MAX, (path, size)
        check_width(browser, path, size)
    assert browser.violations() == [], path
    browser.resize(DESKTOP, "dark")
    assert browser.violations("color-contrast") == [], path
    browser.resize(SMALL)
    check_width(browser, path, SMALL)
    assert browser.errors() == [], path


def check_width(browser: Chromium, path: str, size: tuple[int, int]) -> None:
    assert browser.evaluate("return document.documentElement.scrollWidth") <= size[0], (path, size)
    # The link of each event is in view, without scrolling the table.
    assert browser.evaluate(CUT_OFF) == [], (path, size)


@pytest.mark.long(seconds=20)
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_page_is_accessible_does_not_move_and_fits_small_screens(
    windows: Windows, scenario: Scenario, part: int
) -> None:
    def check_pages(browser: Chromium, scenario: Scenario) -> None:
        browser.open("/login")
        assert browser.violations() == []
        browser.log_in(TOKENS["admin"])
        for path in pages(scenario)[part::PARTS]:
            check_page(browser, path)

    await drive(windows, scenario, check_pages)


def check_keyboard(browser: Chromium, scenario: Scenario) -> None:
    browser.log_in(TOKENS["operator"])
    browser.press("g", "e")
    browser.wait_for_path("/events")
    browser.press("j", "j", "k")
    assert browser.count("tr[aria-selected=true]") == 1
    first = browser.find("[data-rows] tr[aria-selected=true] [data-open]").get_attribute("href")
    browser.press("j", "k", "\ue007")
    browser.wait_for_path("/events/")
    assert browser.driver.current_url == first
    browser.press("/")
    browser.press(scenario.dead, "\ue007")
    browser.wait_for_path(f"/events/{scenario.dead}")
    browser.press("r")
    assert browser.wait_for(".notice.ok").text.startswith("replayed")
    browser.press("?")
    assert browser.find("#help").get_attribute("open") is not None
    browser.press("\ue00c")
    browser.press("g", "d")
    browser.wait_for_path("/dead-letters")
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.evaluate(background)
    browser.find("[data-theme-toggle]").click()
    browser.open("/rules")
    assert browser.evaluate(background) != light


async def test_keys_lead_through_the_console(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, check_keyboard)
    assert (await scenario.worker.stored_event(scenario.dead))["state"] == "decided"


def check_updates(browser: Chromium, _: Scenario) -> None:
    browser.start_session(TOKENS["operator"])
    browser.open("/dead-letters/selection?source=shop&count=1")
    browser.find("[name=everything]").click()
    browser.find("button[value=replay]").click()
    browser.wait_for("#progress")
    assert "finished" in browser.find("#progress [role=status]").text
    browser.open("/editor")
    browser.evaluate("document.getElementById('text').value = ''")
    browser.find("#text").send_keys("id: a\ntype: purchase_order\nwhen: {field: statsu, op: eq, value: x}\nactions: []")
    assert "did you mean status?" in browser.wait_for("#trial .mistakes").text
    assert "statsu" in str(browser.find("#text").get_attribute("value"))


async def test_parts_of_pages_are_updated_in_place(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, check_updates)


def check_without_scripts(browser: Chromium, scenario: Scenario) -> None:
    browser.disable_scripts()
    browser.log_in(TOKENS["operator"])
    browser.open(f"/events/{scenario.dead}")
    browser.find("[data-replay]").click()
    assert browser.wait_for(".notice.ok").text.startswith("replayed")
    browser.open("/events")
    browser.find("#record").send_keys("po-4711\ue007")
    browser.wait_for_path("/events?")
    assert browser.count("[data-rows] tbody tr") == 1


async def test_pages_work_without_scripts(windows: Windows, scenario: Scenario) -> None:
    await drive(windows, scenario, check_without_scripts)
