"""Denied commands of scripts for state that workers share: a repeated call is right, and no limit is exceeded."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec import structs

from service.errors import LeaseLost, StoreLost, StoreUnavailable
from service.settings import Settings
from service.store import Store
from service.store.platforms.polls import PollLease, RecordFingerprint
from service.store.platforms.throttle import CircuitChange, ThrottlePermit
from tests.service.store.builders import run_on_server
from tests.service.store.test_denied_commands import attempt, commands_of, writes_of

pytestmark = [pytest.mark.slow, pytest.mark.store]  # many cases

LEASE_SECONDS = 60
FINGERPRINT = RecordFingerprint("0123456789abcdef")


@pytest.mark.parametrize("command", commands_of("poll"))
async def test_poll_continues_after_a_denied_command(store: Store, command: str) -> None:
    poll = ("shop", "p1", LEASE_SECONDS)
    await attempt(store, command, lambda: store.polls.claim(*poll))
    lease = await store.polls.claim(*poll)
    assert isinstance(lease, PollLease)
    page = structs.replace(lease, cursor="2", records_listed=1)
    await attempt(store, command, lambda: store.polls.save_page(*poll, page, {"po-1": FINGERPRINT}))
    await store.polls.save_page(*poll, page, {"po-1": FINGERPRINT})
    assert await store.polls.known_records(*poll) == {"po-1": FINGERPRINT}
    assert await store.polls.claim(*poll) == page
    await attempt(store, command, lambda: store.polls.end(*poll, 3_600))
    with contextlib.suppress(LeaseLost):
        await store.polls.end(*poll, 3_600)
    waiting = await store.polls.claim("shop", "p2", LEASE_SECONDS)
    assert isinstance(waiting, float), "the pass has ended, and the next one is due in an hour"
    assert waiting > 3_000


@pytest.mark.parametrize("command", commands_of("throttle_acquire"))
async def test_denied_permit_exceeds_no_limit(store: Store, command: str) -> None:
    async def acquire(token: str) -> ThrottlePermit:
        return await store.limits.acquire("erp", token, LEASE_SECONDS, in_flight_max=1, per_minute_max=5)

    await attempt(store, command, lambda: acquire("a"))
    assert await acquire("a") == ThrottlePermit()
    assert (await acquire("b")).wait == "in_flight"


@pytest.mark.parametrize("command", commands_of("throttle_release"))
async def test_circuit_opens_after_a_denied_command(store: Store, command: str) -> None:
    async def release() -> CircuitChange:
        return await store.limits.release(
            "erp", "a", "rate_limited", retry_after_seconds=60, failures_max=5, open_seconds=1, open_seconds_max=100
        )

    await store.limits.acquire("erp", "a", LEASE_SECONDS, 1, 0)
    await attempt(store, command, release)
    assert (await release()).state in {"opened", "open"}
    assert (await store.limits.acquire("erp", "b", LEASE_SECONDS, 1, 0)).wait == "circuit_open"


@pytest.mark.parametrize("command", commands_of("token"))
async def test_token_is_stored_or_fetched_again_after_a_denied_command(store: Store, command: str) -> None:
    async def use() -> None:
        assert await store.tokens.get("erp") in {None, 0.05}
        await store.tokens.put("erp", "t1", 60)

    assert await attempt(store, command, use), "errors of the cache concern no call"
    found = await store.tokens.get("erp")
    assert found is None or (isinstance(found, tuple) and found[0] == "t1")
    await store.tokens.put("erp", "t2", 60)
    await attempt(store, command, lambda: store.tokens.invalidate("erp", "t2"))
    await store.tokens.invalidate("erp", "t2")
    assert await store.tokens.get("erp") is None


@pytest.mark.parametrize("command", commands_of("count_arrivals"))
async def test_arrivals_are_counted_after_a_denied_command(store: Store, command: str) -> None:
    store.arrivals.count("shop")
    await attempt(store, command, store.arrivals.flush)
    await store.arrivals.flush()
    hour = int(await store.queue_stats.clock() // 3_600)
    counts = (await store.arrivals.by_hour(hour - 1, 2))["shop"]
    assert sum(counts) >= 1
    assert set(await store.arrivals.last_at_ms()) == {"shop"}


@pytest.fixture
async def process(make_settings: Callable[..., Settings], valkey_url: str) -> AsyncIterator[Callable[[], Store]]:
    opened: list[Store] = []

    def start() -> Store:
        opened.append(Store(make_settings(redis_url=valkey_url, installation_id="shop"), check_installation=True))
        return opened[-1]

    yield start
    for store in opened:
        await store.close()


@pytest.mark.parametrize("command", [*writes_of("installation"), "GET"])
async def test_store_is_not_used_without_its_installation_record(
    store: Store, process: Callable[[], Store], command: str
) -> None:
    used = await attempt(store, command, process().check, StoreUnavailable)
    assert not used or (await store.installation.record()) is not None
    await process().check()
    record = await store.installation.record()
    assert record is not None
    assert (record.id, record.generation, record.lost) == ("shop", 1, False)


@pytest.mark.parametrize("command", [*writes_of("accept_installation"), "GET"])
async def test_lost_store_is_not_accepted_by_a_denied_command(
    store: Store, process: Callable[[], Store], command: str
) -> None:
    running = process()
    await running.check()
    run_on_server(store.settings.redis_url, "FLUSHALL")
    with pytest.raises(StoreLost):
        await running.check()
    accepted = await attempt(store, command, lambda: store.installation.accept("shop"))
    if not accepted:
        with pytest.raises(StoreLost):
            await running.check()
        await store.installation.accept("shop")
    await running.check()
    record = await store.installation.record()
    assert record is not None
    assert (record.id, record.generation, record.lost) == ("shop", 2, False)
