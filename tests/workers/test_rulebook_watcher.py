"""Rulebook of a worker: wait for the first version, activation of new versions, rejection of invalid ones."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from service.settings import Settings
from service.store import Store
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness
from workers.commands import background_task, wait_until_ready
from workers.rulebook_watcher import RulebookWatcher

pytestmark = pytest.mark.store

SECONDS = 0.05


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings(rulebook_refresh_seconds=SECONDS)) as opened:
        yield opened


def new_watcher(harness: WorkerHarness) -> RulebookWatcher:
    """Return the watcher of a second worker on the same store."""
    return RulebookWatcher(harness.store.rulebook, harness.dependencies.rules._actions, SECONDS)


async def publish_document(harness: WorkerHarness, version: str, document: bytes) -> None:
    assert await harness.store.rulebook.publish(version, document, "test", "", await harness.version())


async def test_missing_rulebook_is_logged_once_until_the_first_is_published(harness: WorkerHarness) -> None:
    watcher = new_watcher(harness)
    with capture_logs() as lines:
        waiting = asyncio.create_task(watcher.wait_for_first())
        await until(lambda: bool(lines))
        await asyncio.sleep(3 * SECONDS)
        assert not waiting.done()
        version = await harness.publish(SINK_RULE)
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert watcher.rulebook is not None
    assert watcher.rulebook.version == version
    assert [line["event"] for line in lines].count("rulebook.missing") == 1


async def test_unavailable_store_is_not_logged_as_a_missing_rulebook(
    harness: WorkerHarness, make_settings: Callable[..., Settings]
) -> None:
    store = Store(make_settings(redis_url="redis://127.0.0.1:1/0", store_connect_timeout_seconds=0.1))
    watcher = RulebookWatcher(store.rulebook, harness.dependencies.rules._actions, SECONDS)
    with capture_logs() as lines:
        async with background_task(watcher.wait_for_first()):
            await until(lambda: bool(lines))
            await asyncio.sleep(10 * SECONDS)
    await store.close()
    assert [line["event"] for line in lines] == ["store.unavailable"]
    assert lines[0]["error_kind"] == "store_unavailable"


async def test_worker_stops_while_it_waits_for_the_first_rulebook(harness: WorkerHarness) -> None:
    worker = harness.worker()
    waiting = asyncio.create_task(wait_until_ready(worker, new_watcher(harness).wait_for_first()))
    await asyncio.sleep(SECONDS)
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    assert await asyncio.wait_for(waiting, PATIENCE_SECONDS) is False
    await worker.close()


async def test_events_wait_without_a_rulebook(harness: WorkerHarness) -> None:
    event_id = await harness.send()
    watcher = new_watcher(harness)
    assert watcher.rulebook is None
    assert (await harness.stored_event(event_id))["state"] == "queued"
    assert (await harness.store.sample()).pending == 1


@pytest.mark.parametrize(
    "document",
    [b"", b"\xff\xfe", b"{}", b"[]", b"null", b"[1]", b'{"rules": [{"id": "a"}]}', b'{"rules": "x"}', b"[" * 5_000],
)
async def test_invalid_rulebook_is_logged_once_and_the_last_valid_one_stays_active(
    harness: WorkerHarness, document: bytes
) -> None:
    valid = await harness.publish(SINK_RULE)
    watcher = new_watcher(harness)
    with capture_logs() as lines:
        async with background_task(watcher.run()):
            await until_active(watcher, valid)
            await publish_document(harness, "invalid", document)
            await asyncio.sleep(4 * SECONDS)
            assert watcher.rulebook is not None
            assert watcher.rulebook.version == valid
            newer = await harness.publish(SINK_RULE.replace("short-receipt", "newer"))
            await until_active(watcher, newer)
    rejected = [line for line in lines if line["event"] == "rulebook.rejected" and line["rulebook"] == "invalid"]
    assert len(rejected) == 1
    assert rejected[0]["active"] == valid


async def test_new_version_is_activated(harness: WorkerHarness) -> None:
    watcher = new_watcher(harness)
    async with background_task(watcher.run()):
        await until_active(watcher, await harness.publish(SINK_RULE))
        await until_active(watcher, await harness.publish(SINK_RULE.replace("short-receipt", "newer")))


async def until_active(watcher: RulebookWatcher, version: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while watcher.rulebook is None or watcher.rulebook.version != version:  # noqa: ASYNC110 - no notification exists
            await asyncio.sleep(0.005)
