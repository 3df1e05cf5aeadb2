"""Permits for calls to a platform account: in flight, a minute, and after failures; each shared by all."""

import asyncio
from collections.abc import Callable

import pytest

from service.settings import Settings
from service.store import Store
from service.store.platforms.throttle import CallOutcome, CircuitChange, ThrottlePermit
from tests.waiting import until

pytestmark = pytest.mark.store


async def permit(
    store: Store, token: str, in_flight_max: int = 0, per_minute_max: int = 0, lease: float = 5
) -> ThrottlePermit:
    return await store.limits.acquire("acct", token, lease, in_flight_max, per_minute_max)


async def passed(store: Store, token: str, outcome: CallOutcome, asked: float = 0, pause: float = 0.2) -> CircuitChange:
    return await store.limits.release(
        "acct", token, outcome, asked_seconds=asked, failures_max=3, pause_seconds=pause, pause_seconds_max=60
    )


async def test_no_more_calls_are_under_way_than_the_account_allows(store: Store) -> None:
    granted = [await permit(store, f"t{n}", in_flight_max=4) for n in range(6)]
    assert [item.wait for item in granted] == [None] * 4 + ["in_flight"] * 2
    await passed(store, "t0", "ok")
    assert (await permit(store, "t5", in_flight_max=4)).wait is None
    assert (await permit(store, "t4", in_flight_max=4)).wait == "in_flight"


async def test_a_place_is_taken_once_however_often_it_is_asked_for(store: Store) -> None:
    for _ in range(3):
        assert (await permit(store, "t", in_flight_max=1)).wait is None


async def test_a_place_whose_holder_died_is_free_again_after_its_lease(store: Store) -> None:
    assert (await permit(store, "dead", in_flight_max=1, lease=0.5)).wait is None
    assert (await permit(store, "next", in_flight_max=1)).wait == "in_flight"

    async def is_granted() -> bool:
        return (await permit(store, "next", in_flight_max=1)).wait is None

    await until(is_granted)


async def test_a_minute_holds_no_more_calls_than_allowed_and_tells_when_the_next_may_come(store: Store) -> None:
    granted = [await permit(store, f"t{n}", per_minute_max=5) for n in range(7)]
    assert [item.wait for item in granted] == [None] * 5 + ["rate"] * 2
    assert 50 < granted[-1].seconds <= 61.5


async def test_an_accounts_limit_is_not_anothers(store: Store) -> None:
    assert (await permit(store, "t", in_flight_max=1)).wait is None
    other = await store.limits.acquire("other", "t", 5, 1, 0)
    assert other.wait is None


async def test_one_not_now_makes_all_wait_as_long_as_it_asks(store: Store) -> None:
    after = await passed(store, "t", "asked", asked=30)
    assert (after.state, after.seconds) == ("paused", 30)
    waiting = await permit(store, "u")
    assert waiting.wait == "paused"
    assert 20 < waiting.seconds <= 30
    assert 20 < (await store.limits.open_circuits())["acct"] <= 30


async def test_late_failures_lengthen_no_pause_but_a_longer_wish_does(store: Store) -> None:
    await passed(store, "t", "asked", asked=20)
    assert (await passed(store, "u", "failed")).state == "rests"
    assert (await store.limits.open_circuits())["acct"] <= 20
    assert (await passed(store, "u", "asked", asked=40)).seconds == 40


async def test_failures_in_a_row_make_a_pause_and_a_success_between_them_does_not(store: Store) -> None:
    words = [(await passed(store, "t", "failed")).state for _ in range(2)]
    await passed(store, "t", "ok")
    assert await store.limits.open_circuits() == {}
    words += [(await passed(store, "t", "failed")).state for _ in range(3)]
    assert words == ["fine", "fine", "fine", "fine", "paused"]


async def test_what_was_answered_otherwise_is_no_failure_and_no_success(store: Store) -> None:
    for _ in range(2):
        await passed(store, "t", "failed")
        await passed(store, "t", "answered")
        await passed(store, "t", "left")
    assert (await passed(store, "t", "failed")).state == "paused"


async def test_at_a_pauses_end_one_probe_goes_first_and_its_success_lets_all_through(store: Store) -> None:
    await passed(store, "t", "asked", asked=0.05)
    await asyncio.sleep(0.08)
    assert (await permit(store, "first")).wait is None
    assert (await permit(store, "second")).wait == "paused"
    assert (await permit(store, "first")).wait is None
    assert (await passed(store, "first", "ok")).state == "resumed"
    assert (await permit(store, "second")).wait is None
    assert await store.limits.open_circuits() == {}


@pytest.mark.parametrize("outcome", ["failed", "asked"])
async def test_a_probe_that_fails_makes_the_next_pause_twice_as_long(store: Store, outcome: CallOutcome) -> None:
    await passed(store, "t", "asked", pause=0.05)
    await asyncio.sleep(0.08)
    assert (await permit(store, "probe")).wait is None
    after = await passed(store, "probe", outcome, pause=0.05)
    assert (after.state, after.seconds) == ("paused", 0.1)


async def test_a_probe_that_is_answered_anything_finds_the_platform_alive(store: Store) -> None:
    await passed(store, "t", "asked", asked=0.05)
    await asyncio.sleep(0.08)
    assert (await permit(store, "probe")).wait is None
    assert (await passed(store, "probe", "answered")).state == "resumed"


async def test_a_probe_that_left_without_a_word_makes_room_for_another(store: Store) -> None:
    await passed(store, "t", "asked", asked=0.05)
    await asyncio.sleep(0.08)
    assert (await permit(store, "probe")).wait is None
    await passed(store, "probe", "left")
    assert (await permit(store, "other")).wait is None


async def test_a_success_that_began_before_the_pause_does_not_end_it(store: Store) -> None:
    await passed(store, "t", "asked", asked=50)
    await passed(store, "older", "ok")
    assert (await permit(store, "u")).wait == "paused"


async def test_one_pod_fetches_a_token_and_all_others_wait_for_it_and_share_it(store: Store) -> None:
    other = Store(store.settings)
    assert await store.tokens.get("engage") is None
    assert await other.tokens.get("engage") == 0.05
    assert await store.tokens.get("engage") is None, "asked again, it is still the one"
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


async def test_a_token_is_fetched_by_everybody_while_the_store_is_away(make_settings: Callable[..., Settings]) -> None:
    away = Store(make_settings(redis_url="unix:///nowhere.sock"))
    assert await away.tokens.get("engage") is None
    await away.tokens.put("engage", "t", 1)
    await away.tokens.invalidate("engage", "t")
