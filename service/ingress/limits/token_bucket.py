"""Token buckets per key, bounded in number. Pure: the caller passes the time.

A bucket is stored as the time at which it is full again (generic cell rate algorithm). A full bucket needs no entry.
Above the maximum number, the least recently used bucket is removed, which allows its key at most one more burst.
"""

KEYS_MAX = 10_000
ROUNDING_ERROR_SECONDS = 1e-9
"""Shorter waits are rounding errors of a sum of intervals."""


class TokenBuckets:
    """Token buckets that refill by `per_second` tokens per second and hold `burst_seconds` of that rate."""

    def __init__(self, per_second: float, burst_seconds: float, keys_max: int = KEYS_MAX) -> None:
        self._interval = 1 / per_second
        self._burst = max(burst_seconds, self._interval)
        self._keys_max = keys_max
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def retry_after_seconds(self, key: str, now: float) -> float:
        """Return the seconds until `key` has a token, 0 if it has one. Takes none."""
        full_at = self._full_at.get(key)
        return 0.0 if full_at is None else self._wait_seconds(full_at, now)

    def charge(self, key: str, now: float, tokens: int) -> None:
        """Take tokens even if the bucket is empty. The debt is at most one burst plus `tokens`."""
        cost = self._interval * tokens
        full_at = max(self._full_at.pop(key, now), now)
        self._full_at[key] = min(full_at + cost, max(full_at, now + self._burst + cost))
        self._remove_full()

    def acquire(self, key: str, now: float) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        full_at = max(self._full_at.pop(key, now), now)
        wait = self._wait_seconds(full_at, now)
        self._full_at[key] = full_at if wait else full_at + self._interval
        self._remove_full()
        return wait

    def _wait_seconds(self, full_at: float, now: float) -> float:
        wait = full_at + self._interval - now - self._burst
        return wait if wait > ROUNDING_ERROR_SECONDS else 0.0

    def _remove_full(self) -> None:
        if len(self._full_at) > self._keys_max:
            # The first entry is the least recently used: every use moves a key to the end.
            del self._full_at[next(iter(self._full_at))]
