"""Token buckets: rate, burst, waiting time and number of keys."""

from hypothesis import given
from hypothesis import strategies as st

from service.ingress.limits.token_bucket import TokenBuckets


def test_burst_passes_and_then_one_token_per_interval() -> None:
    buckets = TokenBuckets(per_second=2, burst_seconds=3)
    assert [buckets.acquire("a", 0.0) for _ in range(7)] == [0, 0, 0, 0, 0, 0, 0.5]
    assert buckets.acquire("a", 0.5) == 0
    assert buckets.acquire("a", 0.5) > 0
    assert buckets.acquire("b", 0.5) == 0


def test_retry_after_takes_no_token_and_failed_acquire_adds_no_wait() -> None:
    buckets = TokenBuckets(per_second=1, burst_seconds=1)
    assert buckets.retry_after_seconds("a", 0.0) == 0
    assert buckets.acquire("a", 0.0) == 0
    assert [buckets.retry_after_seconds("a", 0.0), buckets.acquire("a", 0.0), buckets.acquire("a", 0.25)] == [
        1,
        1,
        0.75,
    ]


def test_charge_takes_tokens_from_an_empty_bucket_up_to_a_limit() -> None:
    buckets = TokenBuckets(per_second=2, burst_seconds=3)
    buckets.charge("a", 0.0, 4)
    assert [buckets.acquire("a", 0.0), buckets.acquire("a", 0.0), buckets.acquire("a", 0.0)] == [0, 0, 0.5]
    for _ in range(100):
        buckets.charge("a", 0.0, 4)
    assert buckets.retry_after_seconds("a", 0.0) == 2.5
    assert buckets.retry_after_seconds("a", 2.5) == 0


def test_burst_below_one_token_still_allows_one() -> None:
    buckets = TokenBuckets(per_second=0.01, burst_seconds=1)
    assert buckets.acquire("a", 0.0) == 0
    assert 99 < buckets.acquire("a", 0.5) < 100


def test_least_recently_used_bucket_is_removed() -> None:
    buckets = TokenBuckets(per_second=0.1, burst_seconds=0, keys_max=3)
    for key in ("a", "b", "c"):
        assert buckets.acquire(key, 0.0) == 0
    buckets.acquire("a", 1.0)  # takes no token, but counts as a use
    buckets.acquire("d", 1.0)
    assert len(buckets) == 3
    assert buckets.retry_after_seconds("a", 1.0) > 0
    assert buckets.retry_after_seconds("b", 1.0) == 0


@given(gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60), per_second=st.floats(0.5, 50), burst=st.floats(0.1, 5))
def test_acquired_tokens_never_exceed_burst_plus_rate(gaps: list[float], per_second: float, burst: float) -> None:
    buckets, now, passed = TokenBuckets(per_second, burst), 0.0, 0
    for gap in gaps:
        now += gap
        passed += buckets.acquire("a", now) == 0
    assert passed <= max(burst, 1 / per_second) * per_second + now * per_second + 1e-3


@given(keys=st.lists(st.text(max_size=3), max_size=200))
def test_number_of_buckets_is_limited(keys: list[str]) -> None:
    buckets = TokenBuckets(1, 1, keys_max=10)
    for key in keys:
        buckets.acquire(key, 0.0)
        buckets.charge(key + "x", 0.0, 3)
    assert len(buckets) <= 10
