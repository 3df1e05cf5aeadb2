"""Large records and many rules: the event loop of the worker continues during decoding and evaluation."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.settings import Settings
from tests.workers.harness import WorkerHarness, open_harness

pytestmark = [pytest.mark.store, pytest.mark.slow]

LINES = 9_000
RULES = 400


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings()) as opened:
        yield opened


def large_order() -> dict[str, Any]:
    """Return a purchase order of about 2 MB."""
    lines = [
        {
            "id": f"line-{number}",
            "product_id": f"product-{number}",
            "product": {"code": f"SKU-{number:05d}", "name": f"Product number {number}"},
            "price": {"value": "12.50", "currency": "EUR"},
            "quantity_ordered": 10,
            "quantity_received": 10,
        }
        for number in range(LINES)
    ]
    return {"reference": "PO-1", "status": "received", "lines": lines, "updated_at": "2026-03-02T10:00:00Z"}


def many_rules() -> str:
    """Return rules that check every line and do not match."""
    return "".join(
        f"- id: rule-{number}\n  type: purchase_order\n"
        f"  when: {{any_of: lines, where: {{field: product_code, op: eq, value: none-{number}}}}}\n"
        f"  actions: [{{id: warn, do: log, message: found}}]\n"
        for number in range(RULES)
    )


async def longest_gap(stopped: asyncio.Event) -> tuple[float, float]:
    """Return the longest time between two turns of the event loop, and the whole time until `stopped`.

    The times are processor seconds of this process: other processes of a busy machine do not count.
    """
    began = last = time.process_time()
    longest = 0.0
    while not stopped.is_set():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest, time.process_time() - began


async def test_event_loop_continues_during_a_large_record(harness: WorkerHarness) -> None:
    harness.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", large_order())
    await harness.publish(many_rules())
    event_id = await harness.send()
    stopped = asyncio.Event()
    measuring = asyncio.create_task(longest_gap(stopped))
    await asyncio.sleep(0)
    await harness.run_worker()
    stopped.set()
    longest, whole = await measuring
    assert (await harness.stored_event(event_id))["outcome"] == "unmatched"
    assert longest < whole / 2, f"{longest:.3f} of {whole:.3f} s in one piece"
