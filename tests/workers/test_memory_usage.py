"""What is kept of a record can be weighed, and erased everywhere."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Settings
from service.store.queue.serialization import decode_event, decompress_history
from tests.service.store.builders import contents
from tests.workers.harness import SINK_RULE, House, open_house

pytestmark = pytest.mark.store

CUSTOMERS = """
- id: moved
  type: customer
  when: {field: billing_address.city, op: changed}
  actions: [{id: tell, do: http, url: "SINK/customers", body: {city: "{billing_address.city}"}}]
"""


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    async with open_house(make_settings()) as opened:
        await opened.publish(SINK_RULE + CUSTOMERS)
        yield opened


async def values(house: House) -> bytes:
    """Everything the store holds, as one text to look in; what is packed is unpacked."""
    parts: list[bytes] = []
    for key, value in (await contents(house.store)).items():
        if key.startswith(b"wb:receipt:"):
            continue  # names of the jobs of a worker's last claim, gone with its lease
        parts += [key, decompress_history(value) if isinstance(value, bytes) else repr(value).encode()]
        if key.startswith(b"wb:delivery:"):
            parts.append(decode_event("", value).body)
    return b"".join(parts)


async def test_every_kind_of_key_is_weighed(house: House) -> None:
    await house.send()
    kinds = {kind.name: kind for kind in await house.store.memory_usage.by_kind()}
    assert {"dedupe", "delivery", "lane", "open", "rulebook", "arq:queue", "arq:job"} <= set(kinds)
    assert kinds["delivery"].keys == 1
    assert all(kind.bytes > 0 for kind in kinds.values())


async def test_a_forgotten_customer_is_nowhere_and_others_stay(house: House) -> None:
    for record_id in ("forget-me", "other"):
        await house.send(record_id, kind="customer")
    await house.work()
    await house.send("forget-me", kind="customer")
    assert (await values(house)).count(b'"record":"pack:customer:forget-me"') == 1
    erased = await house.store.memory_usage.erase_record("pack:customer:forget-me")
    assert (erased.events, erased.in_progress) == (2, 0)
    kept = await values(house)
    assert b"forget-me" not in kept
    assert b"pack:customer:other" in kept
    await house.work()
    assert await house.store.client.command("ZCARD", "arq:queue") == 0


async def test_an_event_in_hand_is_left_to_its_run_and_said_so(house: House) -> None:
    await house.send("busy", kind="customer")
    await house.store.leases("w9").claim(1)
    erased = await house.store.memory_usage.erase_record("pack:customer:busy")
    assert (erased.events, erased.in_progress) == (0, 1)
