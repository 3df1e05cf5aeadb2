"""Builders for tests of the store: events, stores, and the complete content of a server."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import redis

from service.errors import StoreUnavailable
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.settings import load_settings
from service.store import DecisionWrite, IngestRequest, Job, LaneStep, SettlementWrite, Store
from tests.waiting import PATIENCE_SECONDS

Result = TypeVar("Result")

WINDOW_MS = 60_000


def make_event(record_id: str = "1", event_id: str = "", source: str = "shop") -> Event:
    record = RecordRef("pack", "purchase_order", record_id)
    name = event_id or new_event_id()
    return Event(EVENT_VERSION, name, source, "purchase_order.updated", "updated", record, None, {}, None, b"{}")


def make_arrivals(count: int) -> list[IngestRequest]:
    events = [make_event(str(number % 7)) for number in range(count)]
    return [IngestRequest(event, event.id, WINDOW_MS) for event in events]


@contextlib.asynccontextmanager
async def store_on(url: str, **values: object) -> AsyncGenerator[Store]:
    """Yield a new store. `values` are settings."""
    environ = {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
    store = Store(load_settings({"WAYBILL_REDIS_URL": url} | environ))
    try:
        yield store
    finally:
        await store.close()


def decision(job: Job, event_id: str, *, ledger: str = "", **fields: Any) -> DecisionWrite:
    values: dict[str, Any] = {
        "history": b'{"entry":"decided"}\n',
        "outcome": "" if ledger else "unmatched",
        "digest": "d1",
        "version": "2026-01-01",
        "fields": b"f",
        "change": "updated",
        "more": True,
    }
    return DecisionWrite(job=job.id, token=job.token, event_id=event_id, ledger=ledger, **values | fields)


def settlement(job: Job, event_id: str, step: LaneStep, **fields: Any) -> SettlementWrite:
    return SettlementWrite(job.id, job.token, event_id, step, **fields)


def run_on_server(url: str, *command: str) -> Any:
    """Send a command to the server, without the store."""
    server = cast("Any", redis.Redis)  # redis-py types it with holes
    with server.from_url(url) as client:
        return client.execute_command(*command)


async def retry_until_stored(call: Callable[[], Awaitable[Result]], seconds_max: float = PATIENCE_SECONDS) -> Result:
    """Repeat a call until it succeeds, as a sender does."""
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            return await call()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def claim_one(store: Store, worker: str = "w1") -> Job:
    (job,) = (await store.leases(worker).claim(1)).jobs
    return job


async def ids_in_lanes(store: Store) -> set[str]:
    """Return the ids of all events in lanes with a job."""
    found: set[str] = set()
    for job in await store.client.command("ZRANGE", store.settings.queue, 0, -1):
        if job.startswith(store.keys.lane("").encode()):
            found |= {name.decode() for name in await store.client.command("LRANGE", job, 0, -1)}
    return found


async def contents(store: Store, ignored: Sequence[bytes] = (b"wb:wake", b"wb:tick")) -> dict[bytes, Any]:
    """Return all keys and values, except timestamps and the keys in `ignored`."""
    found: dict[bytes, Any] = {}
    for key in sorted(await store.client.command("KEYS", "*")):
        if key not in ignored:
            found[key] = await _value(store, key)
    return found


async def _value(store: Store, key: bytes) -> Any:
    match await store.client.command("TYPE", key):
        case b"hash":
            flat = await store.client.command("HGETALL", key)
            return dict(zip(flat[::2], flat[1::2], strict=True))
        case b"list":
            return await store.client.command("LRANGE", key, 0, -1)
        case b"zset":
            return sorted(await store.client.command("ZRANGE", key, 0, -1))
        case b"stream":
            return [fields for _, fields in await store.client.command("XRANGE", key, "-", "+")]
        case _:
            return await store.client.command("GET", key)
