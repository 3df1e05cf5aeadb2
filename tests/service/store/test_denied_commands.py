"""Scripts that fail half-way: a denied command, a key of another type, no memory. Nothing unstored is acknowledged."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from service.errors import StoreFull, StoreScriptFailed
from service.events import Event
from service.settings import Settings
from service.store import IngestRequest, IngestResult, Job, Store, open_store
from service.store.management.replay import Replay
from service.store.queue.outputs import EmittedEvent
from service.store.scripts import load_script
from tests.service.store.builders import (
    WINDOW_MS,
    claim_one,
    decision,
    ids_in_lanes,
    make_event,
    run_on_server,
    settlement,
)
from tests.service.store.management.test_quarantine import make_quarantined

pytestmark = [pytest.mark.slow, pytest.mark.store]  # many cases

RECORD = "pack:purchase_order:1"
READS = {"EXISTS", "GET", "GETRANGE", "HGET", "HMGET", "HEXISTS", "LINDEX", "LLEN", "TIME", "TYPE", "ZCARD", "ZSCORE"}


def commands_of(script: str) -> list[str]:
    """Return the commands in the source of a script, including those of functions that it may not call."""
    return sorted(set(re.findall(r"\b(?:redis\.p?call|read)\(\s*'([A-Z]+)'", load_script(script).source)))


def writes_of(script: str) -> list[str]:
    return [name for name in commands_of(script) if name not in READS]


async def attempt(
    store: Store, command: str, call: Callable[[], Awaitable[Any]], error: type[Exception] = StoreScriptFailed
) -> bool:
    """Make a call while the store's user may not run `command`; return whether it was acknowledged."""
    url = store.settings.redis_url
    run_on_server(url, "ACL", "SETUSER", "default", f"-{command}")
    try:
        await call()
    except error:
        return False
    finally:
        run_on_server(url, "ACL", "SETUSER", "default", f"+{command}")
    return True


async def start_event(store: Store) -> tuple[Event, Job]:
    """Ingest an event and claim its job."""
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    return event, await claim_one(store)


async def indexes_of(store: Store, event_id: str) -> set[str]:
    """Return which of the indexes `open`, `dead` and `ended` hold the event."""
    names = ("open", "dead", "ended")
    return {name for name in names if await store.client.command("ZSCORE", store.keys.named(name), event_id)}


async def is_stored(store: Store, event_id: str) -> bool:
    delivery = await store.client.command("EXISTS", store.keys.delivery(event_id))
    return delivery == 1 and "open" in await indexes_of(store, event_id) and event_id in await ids_in_lanes(store)


@pytest.mark.parametrize("command", commands_of("ingest"))
async def test_event_is_stored_if_it_is_acknowledged(store: Store, command: str) -> None:
    event = make_event()
    acknowledged = await attempt(store, command, lambda: store.ingest(event, "k", WINDOW_MS))
    if acknowledged:
        assert await is_stored(store, event.id)
    repeated = await store.ingest(event, "k", WINDOW_MS)
    assert repeated.status == "queued"
    assert await is_stored(store, event.id)
    redelivered = await store.ingest(make_event(), "k", WINDOW_MS)
    assert (redelivered.status, redelivered.event_id) == ("duplicate", event.id)


@pytest.mark.parametrize("command", writes_of("ingest"))
async def test_redelivery_after_a_denied_command_is_processed(store: Store, command: str) -> None:
    first, second = make_event(), make_event()
    await attempt(store, command, lambda: store.ingest(first, "k", WINDOW_MS))
    result = await store.ingest(second, "k", WINDOW_MS)
    job = await claim_one(store)
    assert job.head is not None
    assert job.head.id == result.event_id
    assert job.head.delivery is not None
    await store.lanes.decide(decision(job, job.head.id))
    assert await indexes_of(store, result.event_id) == {"ended"}


def with_content(event: Event, content: bytes) -> IngestRequest:
    return IngestRequest(event, "k", WINDOW_MS, content)


@pytest.mark.parametrize("command", commands_of("ingest"))
async def test_duplicate_with_other_content_is_reported_after_a_denied_command(store: Store, command: str) -> None:
    first, other = with_content(make_event(), b"abc"), with_content(make_event(), b"abd")
    await store.ingest_all([first])
    await attempt(store, command, lambda: store.ingest_all([other]))
    assert await store.ingest_all([other]) == [IngestResult("duplicate", first.event.id, differs=True)]
    assert await is_stored(store, first.event.id)
    shown = await store.events.get(first.event.id)
    assert shown is not None
    assert (shown["differing"]["count"], shown["differing"]["event"]["body"]) == (1, b"{}")


@pytest.mark.parametrize("name", ["dedupe:shop:k", f"lane:{RECORD}"])
async def test_damaged_key_of_one_event_does_not_fail_its_batch(store: Store, name: str) -> None:
    await store.client.command("HSET", store.keys.named(name), "another", "type")
    requests = [IngestRequest(make_event(), "k", WINDOW_MS), IngestRequest(make_event("2"), "l", WINDOW_MS)]
    results = await store.ingest_all(requests)
    assert [result.status for result in results] == ["queued", "queued"]
    assert [await is_stored(store, result.event_id) for result in results] == [True, True]


@pytest.mark.parametrize("name", ["open", "wake", "queue"])
async def test_key_of_another_type_never_loses_an_acknowledged_event(store: Store, name: str) -> None:
    key = store.keys.named(name)
    await store.client.command("HSET", key, "another", "type")
    result = await store.ingest(make_event(), "k", WINDOW_MS)
    assert await is_stored(store, result.event_id)


async def test_denied_repair_is_not_acknowledged(store: Store) -> None:
    await store.client.command("SET", store.keys.named("open"), "another type")
    event = make_event()
    assert not await attempt(store, "RENAME", lambda: store.ingest(event, "k", WINDOW_MS))
    result = await store.ingest(event, "k", WINDOW_MS)
    assert await is_stored(store, result.event_id)


async def test_event_without_memory_is_stored_when_it_is_sent_again(store: Store) -> None:
    event = make_event()
    store.client.server.memory_checked_until = float("inf")
    url = store.settings.redis_url
    _, limit = run_on_server(url, "CONFIG", "GET", "maxmemory")
    run_on_server(url, "CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreFull):
            await store.ingest(event, "k", WINDOW_MS)
    finally:
        run_on_server(url, "CONFIG", "SET", "maxmemory", limit)
    assert (await store.ingest(event, "k", WINDOW_MS)).status == "queued"
    assert await is_stored(store, event.id)


async def test_failed_script_is_not_repeated(store: Store) -> None:
    started = time.monotonic()
    assert not await attempt(store, "ZCARD", lambda: store.client.call(load_script("ingest"), (100,), seconds_max=3600))
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("command", writes_of("decide"))
async def test_decided_event_is_never_outside_all_indexes(store: Store, command: str) -> None:
    event, job = await start_event(store)
    ended = decision(job, event.id)
    await attempt(store, command, lambda: store.lanes.decide(ended))
    assert await indexes_of(store, event.id)
    await store.lanes.decide(ended)
    assert "ended" in await indexes_of(store, event.id)


@pytest.mark.parametrize("command", writes_of("decide"))
async def test_record_does_not_advance_without_its_decision(store: Store, command: str) -> None:
    event, job = await start_event(store)
    await attempt(store, command, lambda: store.lanes.decide(decision(job, event.id, ledger="p")))
    advanced = await store.client.command("EXISTS", store.keys.named(f"record:{RECORD}"))
    state = await store.client.command("HGET", store.keys.event(event.id), "state")
    assert state == b"decided" or not advanced


@pytest.mark.parametrize("command", writes_of("settle"))
@pytest.mark.parametrize("step", ["end", "bury"])
async def test_settled_event_is_never_outside_all_indexes(store: Store, command: str, step: Any) -> None:
    event, job = await start_event(store)
    await store.lanes.decide(decision(job, event.id, ledger="p"))
    settled = settlement(job, event.id, step, ledger="d", outcome="matched", history=b'{"n":1}\n')
    await attempt(store, command, lambda: store.lanes.settle(settled))
    assert await indexes_of(store, event.id)


@pytest.mark.parametrize("command", writes_of("settle"))
async def test_effect_is_not_done_without_its_emitted_event(store: Store, command: str) -> None:
    event, derived = make_event(), make_event("2")
    await store.ingest(event, "k", WINDOW_MS)
    job = await claim_one(store)
    await store.lanes.decide(decision(job, event.id, ledger="p"))
    outputs = [EmittedEvent(0, IngestRequest(derived, "derived", WINDOW_MS))]
    note = settlement(job, event.id, "note", ledger="d", outputs=outputs)
    await attempt(store, command, lambda: store.lanes.settle(note))
    ledger = await store.client.command("HGET", store.keys.event(event.id), "ledger")
    assert ledger == b"p" or await is_stored(store, derived.id)
    await store.lanes.settle(note)
    assert await is_stored(store, derived.id)


@pytest.mark.parametrize("command", writes_of("replay"))
@pytest.mark.parametrize("ledger", ["", "p"])
async def test_replayed_event_is_never_outside_all_indexes(store: Store, command: str, ledger: str) -> None:
    event, job = await start_event(store)
    if ledger:
        await store.lanes.decide(decision(job, event.id, ledger=ledger))
    await store.lanes.settle(settlement(job, event.id, "bury", outcome="no"))
    replay = Replay(event.id, RECORD, ledger)
    await attempt(store, command, lambda: store.replays.replay([replay]))
    assert await indexes_of(store, event.id)
    await store.sweeper.sweep("w1")
    (place,) = await store.replays.replay([replay])
    await store.sweeper.sweep("w1")
    assert place in {"lane", "effects", "open"}
    again = await claim_one(store, "w2")
    assert again.head is not None
    assert (again.head.id, again.head.ledger) == (event.id, ledger)


@pytest.mark.parametrize("command", writes_of("replay"))
async def test_history_of_an_event_replayed_in_part_can_be_read(store: Store, command: str) -> None:
    event, job = await start_event(store)
    await store.lanes.decide(decision(job, event.id, ledger="p"))
    await store.lanes.settle(settlement(job, event.id, "end", ledger="d", outcome="matched", history=b'{"n":1}\n'))
    replay = Replay(event.id, RECORD, "p", generation=0)
    await attempt(store, command, lambda: store.replays.replay([replay]))
    await store.sweeper.sweep("w1")
    await store.replays.replay([replay])
    await store.sweeper.sweep("w1")
    again = await claim_one(store, "w2")
    assert again.head is not None
    assert (again.head.ledger, again.head.generation) == ("p", 1)
    assert again.head.history.endswith(b'{"n":1}\n')


@pytest.mark.parametrize("command", writes_of("sweep"))
async def test_expired_dead_letter_is_never_outside_all_indexes(
    make_settings: Callable[..., Settings], command: str
) -> None:
    store = await open_store(make_settings(dead_letter_retention_days=1))
    event, job = await start_event(store)
    await store.lanes.settle(settlement(job, event.id, "bury", outcome="no"))
    await store.client.command("ZADD", store.keys.named("dead"), 1, event.id)
    await attempt(store, command, lambda: store.sweeper.sweep("w1"))
    assert await indexes_of(store, event.id)
    await store.sweeper.sweep("w1")
    assert await indexes_of(store, event.id) == {"ended"}
    await store.close()


@pytest.mark.parametrize("command", ["GETRANGE", "HGET"])
async def test_denied_read_is_not_an_absent_value(store: Store, command: str) -> None:
    event, job = await start_event(store)
    buried = settlement(job, event.id, "bury", outcome="no")
    assert not await attempt(store, command, lambda: store.lanes.settle(buried))
    assert await indexes_of(store, event.id) == {"open"}


@pytest.mark.parametrize("command", writes_of("discard"))
async def test_discarded_event_is_never_outside_all_indexes(store: Store, command: str) -> None:
    event, job = await start_event(store)
    await store.lanes.decide(decision(job, event.id, ledger="pp"))
    await store.lanes.settle(settlement(job, event.id, "bury", ledger="dp", outcome="no"))
    await attempt(store, command, lambda: store.replays.discard([event.id], "why"))
    assert await indexes_of(store, event.id)
    assert await store.replays.discard([event.id], "why") == 1
    assert await indexes_of(store, event.id) == {"ended"}
    stored = await store.events.get(event.id)
    assert stored is not None
    assert (stored["outcome"], stored["ledger"]) == ("discarded", "dp")


@pytest.mark.parametrize("command", writes_of("quarantine"))
async def test_delivery_is_in_quarantine_if_it_is_acknowledged(store: Store, command: str) -> None:
    delivery = make_quarantined(1)
    acknowledged = await attempt(store, command, lambda: store.quarantine.put([delivery]))
    if acknowledged:
        assert await store.quarantine.get(delivery.id) == delivery
    await store.quarantine.put([delivery])
    await store.sweeper.sweep("w1")
    assert await store.quarantine.get(delivery.id) == delivery
    assert await store.quarantine.ids("a") == [delivery.id]
    assert await store.quarantine.count("a") == (1, len(msgspec.msgpack.encode(delivery)))


@pytest.mark.parametrize("command", writes_of("publish"))
async def test_active_rulebook_is_never_among_the_retired(store: Store, command: str) -> None:
    await store.rulebook.publish("v1", b"1", "me", "", None)
    await store.rulebook.publish("v2", b"2", "me", "", "v1")
    await attempt(store, command, lambda: store.rulebook.publish("v1", b"1", "me", "", "v2"))
    active = await store.rulebook.version()
    assert active is not None
    retired = await store.client.command("ZRANGE", store.keys.named("rulebook:retired"), 0, -1)
    assert active.encode() not in retired
