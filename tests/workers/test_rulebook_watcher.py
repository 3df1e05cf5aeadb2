"""The rulebook a worker decides by: waited for, followed, and never given up for a worse one."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from service.settings import Settings
from service.store import Store
from tests.waiting import PATIENCE_SECONDS
from tests.workers.harness import SINK_RULE, House, open_house
from workers.commands import background_task, wait_until_ready
from workers.rulebook_watcher import RulebookWatcher

pytestmark = pytest.mark.store

SECONDS = 0.05


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    async with open_house(make_settings(rulebook_refresh_seconds=SECONDS)) as opened:
        yield opened


def another(house: House) -> RulebookWatcher:
    """The rulebook of a second worker on the same shelf."""
    return RulebookWatcher(house.store.rulebook, house.dependencies.rules._actions, SECONDS)


async def put(house: House, version: str, document: bytes) -> None:
    assert await house.store.rulebook.publish(version, document, "test", "", await house.version())


async def test_the_first_one_is_waited_for_and_its_absence_is_told_once(house: House) -> None:
    rules = another(house)
    with capture_logs() as lines:
        waiting = asyncio.create_task(rules.wait_for_first())
        await asyncio.sleep(3 * SECONDS)
        assert not waiting.done()
        version = await house.publish(SINK_RULE)
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert rules.rulebook is not None
    assert rules.rulebook.version == version
    assert [line["event"] for line in lines].count("rulebook.missing") == 1


async def test_a_store_that_is_not_there_is_told_as_that_and_not_as_a_missing_rulebook(
    house: House, make_settings: Callable[..., Settings]
) -> None:
    store = Store(make_settings(redis_url="redis://127.0.0.1:1/0", store_connect_timeout_seconds=0.1))
    rules = RulebookWatcher(store.rulebook, house.dependencies.rules._actions, SECONDS)
    with capture_logs() as lines:
        async with background_task(rules.wait_for_first()):
            await asyncio.sleep(1)
    await store.close()
    assert [line["event"] for line in lines] == ["store.unavailable"]
    assert lines[0]["error_kind"] == "store_unavailable"


async def test_a_worker_told_to_stop_while_it_waits_for_the_first_one_stops(house: House) -> None:
    worker = house.worker()
    waiting = asyncio.create_task(wait_until_ready(worker, another(house).wait_for_first()))
    await asyncio.sleep(SECONDS)
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    assert await asyncio.wait_for(waiting, PATIENCE_SECONDS) is False
    await worker.close()


async def test_without_a_rulebook_no_event_is_decided_and_none_is_lost(house: House) -> None:
    event_id = await house.send()
    rules = another(house)
    assert rules.rulebook is None
    assert (await house.story(event_id))["state"] == "queued"
    assert (await house.store.sample()).pending == 1


@pytest.mark.parametrize(
    "document",
    [b"", b"\xff\xfe", b"{}", b"[]", b"null", b"[1]", b'{"rules": [{"id": "a"}]}', b'{"rules": "x"}', b"[" * 5_000],
)
async def test_a_document_that_cannot_be_used_leaves_the_last_good_one_in_force_and_is_told_once(
    house: House, document: bytes
) -> None:
    good = await house.publish(SINK_RULE)
    rules = another(house)
    with capture_logs() as lines:
        async with background_task(rules.run()):
            await until(rules, good)
            await put(house, "bad", document)
            await asyncio.sleep(4 * SECONDS)
            assert rules.rulebook is not None
            assert rules.rulebook.version == good
            newer = await house.publish(SINK_RULE.replace("short-receipt", "newer"))
            await until(rules, newer)
    told = [line for line in lines if line["event"] == "rulebook.rejected" and line["rulebook"] == "bad"]
    assert len(told) == 1
    assert told[0]["active"] == good


async def test_a_newer_version_is_in_force_soon(house: House) -> None:
    rules = another(house)
    async with background_task(rules.run()):
        await until(rules, await house.publish(SINK_RULE))
        await until(rules, await house.publish(SINK_RULE.replace("short-receipt", "newer")))


async def until(rules: RulebookWatcher, version: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while rules.rulebook is None or rules.rulebook.version != version:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)
