"""Write the pictures of the documentation: `python -m tests.browser.screenshots`, with Chromium and its driver."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from service.dev.embedded_valkey import start_valkey
from service.log import configure
from service.sandbox.faults import Fault
from service.settings import load_settings
from tests.service.ingress.admin.conftest import TOKENS
from tests.service.ingress.console.scenario import Scenario, add_event, fill, open_scenario, order

from .chromium import DESKTOP, open_chromium

FOLDER = Path(__file__).parents[2] / "docs" / "images"
EVENTS = 60
HOUR_MS = 3_600_000


async def main() -> None:
    """Fill an installation and take the pictures in both themes."""
    configure("service")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wb-") as name:
        server = start_valkey(Path(name))
        settings = load_settings({"WAYBILL_REDIS_URL": server.url, "WAYBILL_ATTEMPTS_MAX": "1"})
        async with open_scenario(settings, Path(name)) as scenario:
            await fill(scenario)
            await fill_a_day(scenario)
            await asyncio.to_thread(take_pictures, scenario)
        server.stop()


async def fill_a_day(scenario: Scenario) -> None:
    """Add events that ended in the last 24 hours, more dead letters, and a live worker."""
    worker, store = scenario.worker, scenario.worker.store
    for number in range(EVENTS):
        received = 20 if number % 3 else 8
        await add_event(
            worker, f"po-{5000 + number}", order(f"po-{5000 + number}", 20 + 90 * (number % 7 == 0), received)
        )
        if number % 12 == 5:
            target = "large" if number % 24 == 5 else "claims"
            worker.sandbox.sandbox.faults.add(Fault(match=f"/_sandbox/sink/{target}", status=422))
        await worker.run_worker()
    now = int(time.time() * 1000)
    for index in ("ended", "dead"):
        ids = await store.client.command("ZRANGE", store.keys.named(index), 0, -1)
        for position, event_id in enumerate(ids):
            hours = 23 * (1 - position / len(ids)) ** 1.5
            await store.client.command("ZADD", store.keys.named(index), now - int(hours * HOUR_MS), event_id)
    await store.flush_arrivals()
    for hour in range(24):
        key = store.keys.named(f"arrivals:{now // HOUR_MS - hour}")
        await store.client.command("HSET", key, "shop", 2 + (hour * 7) % 5, "till-orders", (hour * 3) % 4)
    await store.client.command("HSET", store.keys.named("arrived"), "till-orders", now - HOUR_MS)
    await store.queue_stats.heartbeat("waybill-worker-0", 3, time.time(), 600)
    await add_event(worker, "po-6000", order("po-6000", 1, 1))


def take_pictures(scenario: Scenario) -> None:
    """Save one picture per page and theme."""
    event = f"/events/{scenario.dead}?tab=rules"
    pages = {"overview": "/", "event": event, "editor": "/editor"}
    with open_chromium(scenario.url) as browser:
        browser.log_in(TOKENS["operator"])
        for theme in ("light", "dark"):
            browser.resize(DESKTOP, theme)
            for name, path in pages.items():
                browser.open(path)
                browser.save(FOLDER / f"console-{name}-{theme}.png")


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
