"""Lists of an installation with 10,000 events, 10,000 dead letters and a full quarantine: bounded time and size."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

import pytest

from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.store import IngestRequest, Store

from .conftest import Browser
from .scenario import Scenario

pytestmark = pytest.mark.slow

ROWS = 10_000
AT_ONCE = 500
PAGE_BYTES_MAX = 150_000
PAGE_SECONDS_MAX = 20.0
"""A busy machine takes a fraction of this. A list that reads each event by a call of its own takes longer."""


async def add_events(store: Store, *, dead: bool) -> list[str]:
    """Ingest events; with `dead`, make dead letters of them."""
    ids: list[str] = []
    for start in range(0, ROWS, AT_ONCE):
        events = [
            Event(
                EVENT_VERSION, new_event_id(), f"source-{number % 7}", "order.updated", "updated",
                RecordRef("pack", "purchase_order", f"{'dead' if dead else 'po'}-{number}"), None, {}, None, b"{}",
            )
            for number in range(start, start + AT_ONCE)
        ]  # fmt: skip
        await store.ingest_all([IngestRequest(event, event.id, 60_000) for event in events])
        added = [event.id for event in events]
        if dead:
            await bury(store, added)
        ids += added
    return ids


async def bury(store: Store, ids: Sequence[str]) -> None:
    now_ms = int(time.time() * 1000)
    await store.client.command("ZREM", "wb:open", *ids)
    await store.client.command("ZADD", "wb:dead", *chain.from_iterable((now_ms, event_id) for event_id in ids))
    await asyncio.gather(
        *(store.client.command("HSET", f"wb:event:{each}", "state", "dead", "outcome", "timeout") for each in ids)
    )


async def test_every_list_works_with_ten_thousand_rows(browser: Browser, scenario: Scenario) -> None:
    store = scenario.worker.store
    queued = await add_events(store, dead=False)
    await check_pages_of_a_source(browser, queued)
    dead = await add_events(store, dead=True)
    pages = {
        "/": "10000 dead letters",
        "/events": dead[-1][:12],
        "/events?record=po-17": queued[17][:12],
        "/events?source=nobody": "",
        f"/events/search?q={dead[0][:18]}": "",
        f"/events/{queued[0][:18]}": queued[0],
        f"/events/{dead[5]}?tab=related": dead[5][:12],
        "/dead-letters": "timeout",
        "/dead-letters/selection?error_kind=timeout": dead[-1][:12],
        "/quarantine": "",
        "/sources": "",
        "/audit": "",
    }
    for path, text in pages.items():
        began = time.monotonic()
        answer = await browser.get(path)
        seconds = time.monotonic() - began
        assert answer.status in {200, 303}, path
        assert text in answer.text, path
        assert len(answer.text) < PAGE_BYTES_MAX, path
        assert seconds < PAGE_SECONDS_MAX, path


async def check_pages_of_a_source(browser: Browser, queued: Sequence[str]) -> None:
    """Check that all pages list each event of a source once."""
    seen: list[str] = []
    path = "/events?source=source-3"
    while path:
        page = (await browser.get(path)).page
        seen += [link.removeprefix("/events/") for link in page.links if link.startswith("/events/0")]
        path = next((link for link in page.links if "after=" in link), "")
    assert sorted(seen) == sorted(queued[3::7])
