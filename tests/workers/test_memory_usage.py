"""Memory usage by kind of key, and erasure of a record."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Settings
from service.store.queue.serialization import decode_event, decompress_history
from tests.service.store.builders import contents
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness

pytestmark = pytest.mark.store

CUSTOMERS = """
- id: moved
  type: customer
  when: {field: billing_address.city, op: changed}
  actions: [{id: tell, do: http, url: "SINK/customers", body: {city: "{billing_address.city}"}}]
"""


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings()) as opened:
        await opened.publish(SINK_RULE + CUSTOMERS)
        yield opened


async def store_contents(harness: WorkerHarness) -> bytes:
    """Return all keys and decompressed values of the store as one text."""
    parts: list[bytes] = []
    for key, value in (await contents(harness.store)).items():
        if key.startswith(b"wb:receipt:"):
            continue  # job names of the last claim of a worker; they expire with its lease
        parts += [key, decompress_history(value) if isinstance(value, bytes) else repr(value).encode()]
        if key.startswith(b"wb:delivery:"):
            parts.append(decode_event("", value).body)
    return b"".join(parts)


async def test_memory_usage_lists_every_kind_of_key(harness: WorkerHarness) -> None:
    await harness.send()
    kinds = {kind.name: kind for kind in await harness.store.memory_usage.by_kind()}
    assert {"dedupe", "delivery", "lane", "open", "rulebook", "queue", "arq:job"} <= set(kinds)
    assert kinds["delivery"].keys == 1
    assert all(kind.bytes > 0 for kind in kinds.values())


async def test_erasure_removes_all_data_of_one_customer_only(harness: WorkerHarness) -> None:
    for record_id in ("erased", "other"):
        await harness.send(record_id, kind="customer")
    await harness.run_worker()
    await harness.send("erased", kind="customer")
    assert (await store_contents(harness)).count(b'"record":"pack:customer:erased"') == 1
    erased = await harness.store.memory_usage.erase_record("pack:customer:erased")
    assert (erased.events, erased.in_progress) == (2, 0)
    left = await store_contents(harness)
    assert b"erased" not in left
    assert b"pack:customer:other" in left
    await harness.run_worker()
    assert await harness.store.client.command("ZCARD", "wb:queue") == 0


async def test_erasure_skips_and_reports_an_event_in_progress(harness: WorkerHarness) -> None:
    await harness.send("busy", kind="customer")
    await harness.store.leases("w9").claim(1)
    erased = await harness.store.memory_usage.erase_record("pack:customer:busy")
    assert (erased.events, erased.in_progress) == (0, 1)
