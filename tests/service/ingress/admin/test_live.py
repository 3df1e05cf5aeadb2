"""/live: server-sent events, resumption, limits, roles."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.ingress import live as streams
from service.management import live
from service.store import Store
from tests.service.ingress.admin.conftest import TOKENS, Api
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.store


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PENDING_MS", 0)
    monkeypatch.setattr(streams, "READ_INTERVAL_SECONDS", 0.01)


async def ingest(store: Store, source: str = "shop") -> str:
    record = RecordRef("pack", "purchase_order", "po-1")
    event = Event(EVENT_VERSION, new_event_id(), source, "po.updated", "updated", record, None, {}, None, b'{"a": 1}')
    await store.ingest(event, event.id, 60_000)
    return event.id


@asynccontextmanager
async def opened(api: Api, query: str = "", **headers: str) -> AsyncGenerator[aiohttp.ClientResponse]:
    named = {"authorization": f"Bearer {TOKENS['viewer']}", **{key.replace("_", "-"): headers[key] for key in headers}}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with api.session.get(f"{api.url}/api/v1/live{query}", headers=named, timeout=timeout) as response:
        yield response


@asynccontextmanager
async def opened_later(api: Api) -> AsyncGenerator["asyncio.Task[None]"]:
    """Request a stream in a task."""

    async def request() -> None:
        async with opened(api):
            pass

    task = asyncio.create_task(request())
    yield task
    await asyncio.wait((task,))


async def read_message(response: aiohttp.ClientResponse, event: str) -> dict[str, str]:
    """Read until a message of this name; return its fields, with the last id as `id`."""
    fields: dict[str, str] = {}
    last_id = ""
    while True:
        line = (await response.content.readline()).decode()
        assert line, "the stream ended"
        name, _, value = line.rstrip("\r\n").partition(": ")
        if not name:
            last_id = fields.get("id", last_id)
            if fields.get("event") == event:
                return fields | {"id": last_id}
            fields = {}
        else:
            fields[name] = value


async def position_of(response: aiohttp.ClientResponse) -> str:
    """Read the next position."""
    while True:
        line = (await response.content.readline()).decode()
        assert line, "the stream ended"
        if line.startswith("id: "):
            return line[4:].strip()


async def test_events_are_sent_to_a_viewer_without_bodies(api: Api, store: Store) -> None:
    async with opened(api) as response:
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert response.headers["cache-control"] in {"no-cache", "no-store"}
        await read_message(response, "started")
        event_id = await ingest(store)
        row = json.loads((await read_message(response, "event"))["data"])
    assert (row["id"], row["source"], row["state"]) == (event_id, "shop", "queued")
    assert not {"body", "headers", "inputs"} & row.keys()


async def test_a_stream_continues_at_the_last_event_id(api: Api, store: Store) -> None:
    async with opened(api) as response:
        await ingest(store)
        await read_message(response, "event")
        position = await position_of(response)
    missed = await ingest(store)
    async with opened(api, last_event_id=position) as response:
        assert json.loads((await read_message(response, "event"))["data"])["id"] == missed
    for wrong in ("x", "1;2"):
        async with opened(api, last_event_id=wrong) as response:
            assert (response.status, (await response.json())["code"]) == (422, "invalid")


async def test_a_stream_is_filtered(api: Api, store: Store) -> None:
    async with opened(api, "?source=till&state=queued") as response:
        await read_message(response, "started")
        await ingest(store)
        expected = await ingest(store, "till")
        assert json.loads((await read_message(response, "event"))["data"])["id"] == expected


async def test_skipped_events_are_counted(api: Api, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = (await api("GET", "/api/v1/live/batch", role="viewer")).body
    for _ in range(3):
        await ingest(store)
    monkeypatch.setattr(live, "READ_EVENTS_MAX", 1)
    await asyncio.sleep(0.01)  # an event is read from the next millisecond of the store's clock on
    async with opened(api, last_event_id=batch["next"]) as response:
        assert json.loads((await read_message(response, "skipped"))["data"]) == {"skipped": 2}


async def test_streams_above_the_limit_are_rejected_until_one_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAMS_MAX", 1)

    async def is_open() -> bool:
        async with opened(api) as response:
            return response.status == 200

    await until(is_open)  # streams of other tests may still end
    async with opened(api, last_event_id="x") as response:
        assert response.status in {422, 429}

    async def is_rejected() -> bool:
        async with opened(api) as first:
            if first.status != 200:
                return False
            await read_message(first, "started")
            async with opened(api) as second:
                assert second.headers["retry-after"] == "60"
                return (second.status, (await second.json())["code"]) == (429, "too_many_requests")

    await until(is_rejected)
    await until(is_open)


async def test_a_client_that_leaves_before_the_response_holds_no_stream(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, left = asyncio.Event(), asyncio.Event()
    read_live = live.LiveOperations.read_live

    async def read(operations: live.LiveOperations, *arguments: Any) -> live.LiveBatch:
        reading.set()
        await left.wait()
        return await read_live(operations, *arguments)

    async def is_released() -> bool:
        return not streams._open

    await until(is_released)  # streams of other tests may still end
    monkeypatch.setattr(live.LiveOperations, "read_live", read)
    gc.disable()
    try:
        async with opened_later(api) as request:
            await reading.wait()
            request.cancel()
        await asyncio.sleep(0.05)  # for the end of the connection
        left.set()
        await until(is_released)
    finally:
        gc.enable()


async def test_a_stream_ends_after_its_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_SECONDS_MAX", 0.05)
    async with opened(api) as response:
        assert (await response.read()).endswith(b"\r\n\r\n")


async def test_the_live_view_requires_a_token_and_takes_no_end(api: Api) -> None:
    for path in ("/api/v1/live", "/api/v1/live/batch"):
        assert (await api("GET", path, role=None)).status == 401
        answer = await api("GET", f"{path}?until=2026-11-20T00:00:00Z")
        assert (answer.status, answer.body["code"]) == (422, "invalid")


async def test_a_batch_has_the_events_after_a_position(api: Api, store: Store) -> None:
    start = (await api("GET", "/api/v1/live/batch", role="viewer")).body
    assert (start["items"], start["skipped"]) == ([], 0)
    event_id = await ingest(store)

    async def ids() -> bool:
        answer = await api("GET", f"/api/v1/live/batch?after={start['next']}", role="viewer")
        return [row["id"] for row in answer.body["items"]] == [event_id]

    await until(ids)
    assert (await api("GET", "/api/v1/live/batch?after=x")).status == 422
