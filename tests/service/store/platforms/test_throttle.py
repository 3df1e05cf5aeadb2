"""Throttle of an account in the store: concurrent calls, calls per minute, circuit breaker, token cache."""

import asyncio
from collections.abc import Callable

import pytest

from service.settings import Settings
from service.store import Store
from service.store.platforms.throttle import ERROR_RETENTION_SECONDS, CallOutcome, CircuitChange, ThrottlePermit
from tests.waiting import until

pytestmark = pytest.mark.store


async def acquire(
    store: Store, token: str, in_flight_max: int = 0, per_minute_max: int = 0, lease: float = 5
) -> ThrottlePermit:
    return await store.limits.acquire("acct", token, lease, in_flight_max, per_minute_max)


async def release(
    store: Store, token: str, outcome: CallOutcome, retry_after: float = 0, open_seconds: float = 0.2
) -> CircuitChange:
    return await store.limits.release(
        "acct",
        token,
        outcome,
        retry_after_seconds=retry_after,
        failures_max=3,
        open_seconds=open_seconds,
        open_seconds_max=60,
    )


async def test_concurrent_calls_are_limited(store: Store) -> None:
    granted = [await acquire(store, f"t{n}", in_flight_max=4) for n in range(6)]
    assert [item.wait for item in granted] == [None] * 4 + ["in_flight"] * 2
    await release(store, "t0", "ok")
    assert (await acquire(store, "t5", in_flight_max=4)).wait is None
    assert (await acquire(store, "t4", in_flight_max=4)).wait == "in_flight"


async def test_repeated_acquire_takes_one_slot(store: Store) -> None:
    for _ in range(3):
        assert (await acquire(store, "t", in_flight_max=1)).wait is None


async def test_slot_is_freed_when_its_lease_expires(store: Store) -> None:
    assert (await acquire(store, "crashed", in_flight_max=1, lease=0.5)).wait is None
    assert (await acquire(store, "next", in_flight_max=1)).wait == "in_flight"

    async def is_granted() -> bool:
        return (await acquire(store, "next", in_flight_max=1)).wait is None

    await until(is_granted)


async def test_calls_per_minute_are_limited(store: Store) -> None:
    granted = [await acquire(store, f"t{n}", per_minute_max=5) for n in range(7)]
    assert [item.wait for item in granted] == [None] * 5 + ["rate"] * 2
    assert 50 < granted[-1].seconds <= 61.5


async def test_limits_are_per_account(store: Store) -> None:
    assert (await acquire(store, "t", in_flight_max=1)).wait is None
    other = await store.limits.acquire("other", "t", 5, 1, 0)
    assert other.wait is None


async def test_retry_after_opens_the_circuit_for_that_time(store: Store) -> None:
    after = await release(store, "t", "rate_limited", retry_after=30)
    assert (after.state, after.seconds) == ("opened", 30)
    waiting = await acquire(store, "u")
    assert waiting.wait == "circuit_open"
    assert 20 < waiting.seconds <= 30
    assert 20 < (await store.limits.open_circuits())["acct"] <= 30


async def test_open_circuit_is_extended_by_a_longer_retry_after_only(store: Store) -> None:
    await release(store, "t", "rate_limited", retry_after=20)
    assert (await release(store, "u", "failed")).state == "open"
    assert (await store.limits.open_circuits())["acct"] <= 20
    assert (await release(store, "u", "rate_limited", retry_after=40)).seconds == 40


async def test_consecutive_failures_open_the_circuit(store: Store) -> None:
    states = [(await release(store, "t", "failed")).state for _ in range(2)]
    await release(store, "t", "ok")
    assert await store.limits.open_circuits() == {}
    states += [(await release(store, "t", "failed")).state for _ in range(3)]
    assert states == ["unchanged", "unchanged", "unchanged", "unchanged", "opened"]


async def test_rejected_and_unknown_calls_do_not_change_the_failure_count(store: Store) -> None:
    for _ in range(2):
        await release(store, "t", "failed")
        await release(store, "t", "rejected")
        await release(store, "t", "unknown")
    assert (await release(store, "t", "failed")).state == "opened"


async def test_successful_probe_closes_the_circuit(store: Store) -> None:
    await release(store, "t", "rate_limited", retry_after=0.05)
    await asyncio.sleep(0.08)
    assert (await acquire(store, "first")).wait is None
    assert (await acquire(store, "second")).wait == "circuit_open"
    assert (await acquire(store, "first")).wait is None
    assert (await release(store, "first", "ok")).state == "closed"
    assert (await acquire(store, "second")).wait is None
    assert await store.limits.open_circuits() == {}


@pytest.mark.parametrize("outcome", ["failed", "rate_limited"])
async def test_failed_probe_doubles_the_open_time(store: Store, outcome: CallOutcome) -> None:
    await release(store, "t", "rate_limited", open_seconds=0.05)
    await asyncio.sleep(0.08)
    assert (await acquire(store, "probe")).wait is None
    after = await release(store, "probe", outcome, open_seconds=0.05)
    assert (after.state, after.seconds) == ("open", 0.1)


async def test_rejected_probe_closes_the_circuit(store: Store) -> None:
    await release(store, "t", "rate_limited", retry_after=0.05)
    await asyncio.sleep(0.08)
    assert (await acquire(store, "probe")).wait is None
    assert (await release(store, "probe", "rejected")).state == "closed"


async def test_probe_with_unknown_outcome_is_replaced(store: Store) -> None:
    await release(store, "t", "rate_limited", retry_after=0.05)
    await asyncio.sleep(0.08)
    assert (await acquire(store, "probe")).wait is None
    await release(store, "probe", "unknown")
    assert (await acquire(store, "other")).wait is None


async def test_success_of_an_earlier_call_does_not_close_the_circuit(store: Store) -> None:
    await release(store, "t", "rate_limited", retry_after=50)
    await release(store, "older", "ok")
    assert (await acquire(store, "u")).wait == "circuit_open"


async def test_one_process_fetches_a_token_for_all(store: Store) -> None:
    other = Store(store.settings)
    assert await store.tokens.get("engage") is None
    assert await other.tokens.get("engage") == 0.05
    assert await store.tokens.get("engage") is None, "a repeated call keeps the fetching state"
    await store.tokens.put("engage", "secret-token", 30)
    token = await other.tokens.get("engage")
    assert isinstance(token, tuple)
    assert token[0] == "secret-token"
    assert 20 < token[1] <= 30
    await other.tokens.invalidate("engage", "older-token")
    assert isinstance(await store.tokens.get("engage"), tuple)
    await other.tokens.invalidate("engage", "secret-token")
    assert await store.tokens.get("engage") is None
    await store.tokens.invalidate("engage", "")
    assert await other.tokens.get("engage") is None
    await other.close()


async def test_every_process_fetches_its_token_while_the_store_is_unavailable(
    make_settings: Callable[..., Settings],
) -> None:
    unavailable = Store(make_settings(redis_url="unix:///nowhere.sock"))
    assert await unavailable.tokens.get("engage") is None
    await unavailable.tokens.put("engage", "t", 1)
    await unavailable.tokens.invalidate("engage", "t")


async def test_the_last_error_is_stored_for_a_week(store: Store) -> None:
    await store.limits.record_error("acct", "connect", 0)
    await store.limits.record_error("destination:erp", "target_rejected", 422)
    await store.limits.record_error("destination:erp", "timeout", 0)
    await store.client.command("SET", "wb:last_error:damaged", b"\xff 1 x")
    found = await store.limits.last_errors(["acct", "destination:erp", "damaged", "other"])
    assert {name: (error.kind, error.http_status) for name, error in found.items()} == {
        "acct": ("connect", 0),
        "destination:erp": ("timeout", 0),
    }
    assert abs(found["acct"].at_ms / 1000 - await store.queue_stats.clock()) < 60
    assert 0 < await store.client.command("TTL", "wb:last_error:acct") <= ERROR_RETENTION_SECONDS
    assert await store.limits.last_errors([]) == {}
