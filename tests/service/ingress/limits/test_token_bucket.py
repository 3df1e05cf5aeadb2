"""Token buckets: what passes in any window, how long to wait, and that they stay few."""

from hypothesis import given
from hypothesis import strategies as st

from service.ingress.limits.token_bucket import TokenBuckets


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    rates = TokenBuckets(per_second=2, burst_seconds=3)
    assert [rates.acquire("a", 0.0) for _ in range(7)] == [0, 0, 0, 0, 0, 0, 0.5]
    assert rates.acquire("a", 0.5) == 0
    assert rates.acquire("a", 0.5) > 0
    assert rates.acquire("b", 0.5) == 0


def test_looking_takes_nothing_and_a_refusal_costs_no_further_wait() -> None:
    rates = TokenBuckets(per_second=1, burst_seconds=1)
    assert rates.retry_after_seconds("a", 0.0) == 0
    assert rates.acquire("a", 0.0) == 0
    assert [rates.retry_after_seconds("a", 0.0), rates.acquire("a", 0.0), rates.acquire("a", 0.25)] == [1, 1, 0.75]


def test_what_is_charged_is_taken_also_if_it_is_not_there_and_the_debt_is_bounded() -> None:
    rates = TokenBuckets(per_second=2, burst_seconds=3)
    rates.charge("a", 0.0, 4)
    assert [rates.acquire("a", 0.0), rates.acquire("a", 0.0), rates.acquire("a", 0.0)] == [0, 0, 0.5]
    for _ in range(100):
        rates.charge("a", 0.0, 4)
    assert rates.retry_after_seconds("a", 0.0) == 2.5
    assert rates.retry_after_seconds("a", 2.5) == 0


def test_a_rate_below_one_in_its_burst_still_lets_one_pass() -> None:
    rates = TokenBuckets(per_second=0.01, burst_seconds=1)
    assert rates.acquire("a", 0.0) == 0
    assert 99 < rates.acquire("a", 0.5) < 100


def test_the_longest_unused_is_forgotten_when_there_are_too_many() -> None:
    rates = TokenBuckets(per_second=0.1, burst_seconds=0, keys_max=3)
    for key in ("a", "b", "c"):
        assert rates.acquire(key, 0.0) == 0
    rates.acquire("a", 1.0)  # refused, but used
    rates.acquire("d", 1.0)
    assert len(rates) == 3
    assert rates.retry_after_seconds("a", 1.0) > 0
    assert rates.retry_after_seconds("b", 1.0) == 0


@given(gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60), per_second=st.floats(0.5, 50), burst=st.floats(0.1, 5))
def test_never_more_than_the_burst_and_the_rate_pass(gaps: list[float], per_second: float, burst: float) -> None:
    rates, now, passed = TokenBuckets(per_second, burst), 0.0, 0
    for gap in gaps:
        now += gap
        passed += rates.acquire("a", now) == 0
    assert passed <= max(burst, 1 / per_second) * per_second + now * per_second + 1e-3


@given(keys=st.lists(st.text(max_size=3), max_size=200))
def test_there_are_never_more_than_allowed(keys: list[str]) -> None:
    rates = TokenBuckets(1, 1, keys_max=10)
    for key in keys:
        rates.acquire(key, 0.0)
        rates.charge(key + "x", 0.0, 3)
    assert len(rates) <= 10
