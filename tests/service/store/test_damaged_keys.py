"""Damaged shared keys: another type or a damaged value of any key that all jobs, deliveries or requests use.

The keys of one event are tested in `tests/workers/test_damaged_values.py`.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from structlog.testing import capture_logs

from service.errors import StoreLost
from service.events import new_event_id
from service.management.event_view import view_event
from service.settings import Settings
from service.store import IngestRequest, Store, open_store
from service.store.management.events import Index
from service.store.management.status import StoreInspector
from service.store.platforms.polls import PollLease, RecordFingerprint
from service.store.queue.outputs import StreamEntry
from tests.service.store.builders import WINDOW_MS, decision, make_event, settlement
from tests.service.store.management.test_quarantine import make_quarantined

pytestmark = [pytest.mark.store, pytest.mark.slow]

SHARED = (
    "open", "dead", "ended", "queue", "wake", "workers", "sweep", "sweeper", "rulebook",
    "rulebook:history", "rulebook:retired", "rulebook:V", "circuits", "parked", "parked:pack", "parked_since:pack",
    "recovery:pack", "probe:pack", "flight:pack", "rate:pack", "pace:pack", "token:pack", "token:pack:fetching",
    "found_records", "futile:shop", "poll:shop", "poll:shop:lock", "polled:shop:BUCKET", "quarantines",
    "quarantine:a", "quarantine:a:kept", "quarantine:a:bytes", "quarantine:a:unverified", "stream:s",
    "audit", "session_key", "untrusted_proxy", "tick", "dead_jobs", "arrivals:HOUR", "arrived", "damaged", "rebuild",
)  # fmt: skip
OVERWRITTEN = {"wb:tick", "wb:untrusted_proxy", "wb:damaged", "wb:rebuild"}
"""Keys that the next write replaces, whatever they hold."""
COPIES_MAX = 100
PER_EVENT = {"dedupe", "differing", "delivery", "event", "history", "lane", "record", "order"}
"""Kinds of keys that belong to one event or record."""

VALUES: dict[str, dict[str, Sequence[Sequence[str | bytes]]]] = {
    "rubbish": {
        "string": [("SET", "KEY", b"v2\nrubbish\xff", "KEEPTTL")],
        "hash": [("HSET", "KEY", "FIELD", b"rubbish\xff"), ("HSET", "KEY", b"\xff", b"\xff")],
        "list": [("LPUSH", "KEY", b"rubbish\xff")],
        "zset": [("ZADD", "KEY", "1", b"rubbish\xff")],
        "set": [("SADD", "KEY", b"rubbish\xff")],
        "stream": [("XADD", "KEY", "*", b"\xff", b"\xff")],
    },
    "empty": {
        "string": [("SET", "KEY", b"")],
        "hash": [("HSET", "KEY", "FIELD", b""), ("HSET", "KEY", "", "")],
        "list": [("LPUSH", "KEY", b"")],
        "zset": [("ZADD", "KEY", "1", b"")],
        "set": [("SADD", "KEY", b"")],
        "stream": [("XADD", "KEY", "*", "", "")],
    },
    "numbers": {
        "string": [("SET", "KEY", "-1e400")],
        "hash": [("HSET", "KEY", "FIELD", "inf"), ("HSET", "KEY", "1e300", "nan")],
        "list": [("LPUSH", "KEY", b"1e400")],
        "zset": [("ZADD", "KEY", "inf", "inf"), ("ZADD", "KEY", "-inf", "-inf")],
        "set": [("SADD", "KEY", b"nan")],
        "stream": [("XADD", "KEY", "*", "event_id", "1")],
    },
}
TYPES: dict[str, Sequence[str | bytes]] = {
    "string": ("SET", "KEY", "rubbish"),
    "list": ("RPUSH", "KEY", "x"),
    "set": ("SADD", "KEY", "x"),
    "hash": ("HSET", "KEY", "state", "decided"),
    "zset": ("ZADD", "KEY", "1", "x"),
    "stream": ("XADD", "KEY", "*", "a", "b"),
}


@pytest.fixture
async def store(make_settings: Callable[..., Settings]) -> AsyncIterator[Store]:
    opened = await open_store(make_settings(), check_installation=True)
    await publish(opened, "r1")
    yield opened
    await opened.close()


async def publish(store: Store, version: str) -> None:
    assert await store.rulebook.publish(version, b"{}", "test", "", await store.rulebook.version())


async def run_event(store: Store) -> None:
    """Ingest an event, decide it, and end it with an entry of a stream. Nothing of another event is in its way."""
    event = make_event(new_event_id())
    lane = store.keys.lane(event.record.lane)
    assert (await store.ingest_all([IngestRequest(event, event.id, WINDOW_MS)]))[0].status == "queued"
    leases = store.leases(event.id)
    jobs = {job.id: job for _ in range(2) for job in (await leases.claim(100)).jobs}
    job = jobs[lane]
    assert await leases.renew([job]) == []
    await store.lanes.decide(decision(job, event.id, ledger="p"))
    output = StreamEntry(0, "s", 10, event.id, "rule", b"{}")
    await store.lanes.settle(settlement(job, event.id, "end", ledger="d", outcome="matched", outputs=(output,)))
    stored = await store.events.get(event.id)
    assert stored is not None
    assert stored["outcome"] == "matched"


async def call_accounts(store: Store) -> None:
    limits = store.limits
    for outcome in ("ok", "failed", "rate_limited"):
        await limits.acquire("pack", "t", 30, 5, 1_000, per_second_max=1_000.0, burst_max=10)
        await limits.release(
            "pack", "t", outcome, retry_after_seconds=0, failures_max=2, open_seconds=60, open_seconds_max=60
        )
    await limits.open_circuits()
    await store.parking.pause("pack")
    await store.parking.resume("pack")
    await store.tokens.get("pack")
    await store.tokens.put("pack", "secret", 60)
    token = await store.tokens.get("pack")
    assert isinstance(token, tuple)
    assert token[0] == "secret"
    await store.tokens.invalidate("pack", "")
    store.found_records._written.clear()
    await store.found_records.add("pack", found=True)
    await store.found_records.accounts()
    await store.futile_waits.add("shop")
    await store.futile_waits.subtract("shop")


async def park_jobs(store: Store) -> None:
    """Park the job of an event, and free it."""
    event = make_event("parked")
    await store.ingest(event, event.id, WINDOW_MS)
    jobs = {job.id: job for job in (await store.leases(new_event_id()).claim(100)).jobs}
    job = jobs.get(store.keys.lane(event.record.lane))
    if job is not None and job.head is not None:
        await store.lanes.settle(settlement(job, job.head.id, "release", outcome="circuit_open", account="pack"))
    await store.parking.accounts()
    await store.parking.unpark("pack", "probe", 10.0)
    await store.client.command("DEL", "wb:recovery:pack")
    await store.parking.unpark("pack", "closed", 10.0)


async def poll(store: Store) -> None:
    lease = await store.polls.claim("shop", "t", 30)
    if isinstance(lease, PollLease):
        print_of = RecordFingerprint("00" * 8)
        await store.polls.save_page("shop", "t", 30, lease, {"1": print_of})
        assert await store.polls.fingerprints("shop", "t", 30, ["1"]) == {"1": print_of}
        await store.polls.known_records("shop", "t", 30)
        await store.polls.end("shop", "t", 30, 0)


async def count_arrivals(store: Store) -> None:
    store.arrivals.count("shop")
    await store.flush_arrivals()
    await store.arrivals.by_hour(this_hour() - 1, 2)
    await store.arrivals.last_at_ms()


async def quarantine(store: Store) -> None:
    for number in (1, 2):
        await store.quarantine_deliveries([make_quarantined(number)])
    await store.quarantine.delete("a", [make_quarantined(2).id])
    for source in await store.quarantine.sources():
        await store.quarantine.count(source)
        await store.quarantine.read(source, await store.quarantine.ids(source))


async def read_everything(store: Store) -> None:
    """Read what the API, the console and the commands read."""
    await store.sample()
    await store.queue_stats.heartbeat("w1", 0, 1.0, 60.0)
    inspector = StoreInspector(store.client, store.keys)
    await inspector.counts()
    await inspector.ended_by_time(0, 1_000, 3)
    await inspector.heartbeats()
    await inspector.sweep()
    await inspector.polls(["shop"])
    await inspector.erase_stream_entries(frozenset({"x"}), erase=False)
    indexes: tuple[Index, ...] = ("open", "dead", "ended")
    for index in indexes:
        await store.events.page(index, 100)
    await store.memory_usage.by_kind()
    await store.audit.add(b"{}")
    await store.audit.entries()
    assert len(await store.session_key.load()) == 32
    await store.untrusted_proxy.record("10.0.0.1")
    await store.untrusted_proxy.peer()
    await store.installation.record()
    await store.rulebook.history()
    if await store.rulebook.version():
        await store.rulebook.current()


async def sweep(store: Store) -> None:
    for _ in range(3):
        await store.sweeper.sweep("w1")


OPERATIONS: Sequence[Callable[[Store], Awaitable[None]]] = (
    Store.check, run_event, call_accounts, park_jobs, poll, count_arrivals, quarantine, read_everything, sweep,
)  # fmt: skip


async def run_everything(store: Store, key: str) -> list[str]:
    """Run all operations and return those that failed."""
    failed: list[str] = []
    for operation in OPERATIONS:
        try:
            await operation(store)
        except Exception as error:  # noqa: BLE001 - all failures of a key are listed together
            failed.append(f"{key}: {operation.__name__}: {type(error).__name__}: {error}")
    return failed


def this_hour() -> int:
    return int(time.time() // 3_600)


def name_of(shared: str) -> str:
    return "wb:" + shared.replace("BUCKET", "3085").replace(":V", ":r1").replace("HOUR", str(this_hour()))


async def damage(store: Store, key: str, commands: Sequence[Sequence[str | bytes]]) -> None:
    fields: list[bytes] = [b"x"]
    if await store.client.command("TYPE", key) == b"hash" and commands:
        fields = await store.client.command("HKEYS", key)
    for command in commands:
        for field in fields:
            parts = [
                {"KEY": key, "FIELD": field}.get(part, part) if isinstance(part, str) else part for part in command
            ]
            await store.client.command(*parts)


async def damage_all(store: Store, form: str) -> None:
    """Damage one shared key after the other, and run all operations after each damage."""
    assert await run_everything(store, "none") == []
    failed: list[str] = []
    for shared in SHARED:
        key = name_of(shared)
        if form in TYPES:
            await store.client.command("DEL", key)
            await damage(store, key, [TYPES[form]])
        else:
            found = (await store.client.command("TYPE", key)).decode()
            if found == "none":
                continue
            await damage(store, key, VALUES[form][found])
        failed += await run_everything(store, key)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("form", [*TYPES, *VALUES])
async def test_no_damaged_shared_key_stops_deliveries_jobs_sweeps_or_reads(store: Store, form: str) -> None:
    with capture_logs() as lines:
        await damage_all(store, form)
    logged = {line["store_key"] for line in lines if line["event"] == "store.key_damaged"}
    if form in TYPES:
        damaged = {name_of(shared) for shared in SHARED} - OVERWRITTEN
        assert {key for key in damaged if await expected_type(store, key) not in {form, ""}} <= logged
    assert all(line["fix"] and line["moved_to"] for line in lines if line["event"] == "store.key_damaged")


async def expected_type(store: Store, key: str) -> str:
    """Return the type that a key has now, after all operations ran on it; '' if it is absent."""
    found = (await store.client.command("TYPE", key)).decode()
    return "" if found == "none" else found


async def test_every_shared_key_is_damaged_by_this_test(store: Store) -> None:
    """A new kind of key fails this test until it is in `SHARED` or among the kinds of an event."""
    assert await run_everything(store, "none") == []
    keys = {key.decode().removeprefix("wb:") for key in await store.client.command("KEYS", "wb:*")}
    kinds = {key.partition(":")[0] for key in keys}
    assert kinds <= {shared.partition(":")[0] for shared in SHARED} | PER_EVENT | {"receipt", "install"}


async def test_damaged_key_is_kept_and_reported(store: Store) -> None:
    await store.client.command("SET", "wb:open", "data of another program")
    with capture_logs() as lines:
        await run_event(store)
        await run_event(store)
    (line,) = [line for line in lines if line["event"] == "store.key_damaged"]
    assert (line["store_key"], line["found_type"], line["expected_type"]) == ("wb:open", "string", "zset")
    assert await store.client.command("GET", line["moved_to"]) == b"data of another program"
    assert line["moved_to"] in line["fix"]
    assert (await store.sample()).damaged_keys == 1
    (found,) = await store.damaged_keys()
    assert (found.key, found.moved_to) == ("wb:open", line["moved_to"])
    await store.client.command("UNLINK", line["moved_to"])
    await sweep(store)
    assert ((await store.sample()).damaged_keys, await store.damaged_keys()) == (0, [])


@pytest.mark.parametrize("text", ["x", "\u00b2", "9" * 5000, "-1", ""])
async def test_damaged_numbers_of_an_event_do_not_hide_the_list(store: Store, text: str) -> None:
    event = make_event("damaged")
    await store.ingest(event, event.id, WINDOW_MS)
    names = ("attempts", "worker_crashes", "generation", "next_ms")
    for name in names:
        await store.client.command("HSET", store.keys.event(event.id), name, text)
    (row,) = [each for each in await store.events.page("open", 10) if each.id == event.id]
    assert row.attempts == 0
    shown = await store.events.get(event.id)
    assert shown is not None
    view = view_event("", shown, 0, "redacted")
    assert (view.attempts, view.worker_crashes, view.generation) == (0, 0, 0)


async def test_copies_are_limited(store: Store) -> None:
    for _ in range(COPIES_MAX + 5):
        await store.client.command("SET", "wb:wake", "x")
        await store.client.wait_for(["wb:wake"], 0.001)
    assert len(await store.client.command("KEYS", "wb:wake:damaged*")) <= COPIES_MAX + 1
    await run_event(store)


async def test_active_rulebook_survives_damage(store: Store) -> None:
    await publish(store, "r2")
    await store.client.command("SET", "wb:rulebook", "x")
    assert await store.rulebook.current() == ("r2", b"{}")


async def test_active_rulebook_is_listed_without_its_history(store: Store) -> None:
    await publish(store, "r2")
    (newest, *_) = await store.rulebook.history()
    await store.client.command("DEL", "wb:rulebook:history")
    assert await store.rulebook.history() == [newest]


async def test_damaged_installation_record_is_a_lost_store(store: Store) -> None:
    for commands in ([TYPES["string"]], [("DEL", "KEY"), TYPES["list"]]):
        await damage(store, "wb:install", commands)
        with pytest.raises(StoreLost):
            await run_event(store)
        known = store.client.installation.known
        assert known is not None
        operator = Store(store.settings)
        await operator.installation.accept(known.id)
        await operator.close()
        await run_event(store)
