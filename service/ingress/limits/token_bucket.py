"""How often is too often: token buckets of many keys, each kept as one number, bounded in number. Pure, time passed in.

A bucket is the moment at which it would be full again (the generic cell rate algorithm). One that is full says nothing
and may be forgotten; so when there are too many, the one longest unused goes, which is at worst a little lenience.
"""

KEYS_MAX = 10_000
ROUNDING_SECONDS = 1e-9  # a sum of intervals is not exact


class TokenBuckets:
    """At most `per_second` a second for each key, after a burst of `burst_seconds` at that rate at once."""

    def __init__(self, per_second: float, burst_seconds: float, keys_max: int = KEYS_MAX) -> None:
        self._interval = 1 / per_second
        self._burst = max(burst_seconds, self._interval)
        self._keys_max = keys_max
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def retry_after_seconds(self, key: str, now: float) -> float:
        """Say how many seconds there will be no token for `key`; 0 if there is one. Takes none."""
        full_at = self._full_at.get(key)
        return 0.0 if full_at is None else self._wait(full_at, now)

    def charge(self, key: str, now: float, tokens: int) -> None:
        """Take tokens whether they are there or not, as far as a burst and these: the debt of a key is bounded."""
        cost = self._interval * tokens
        full_at = max(self._full_at.pop(key, now), now)
        self._full_at[key] = min(full_at + cost, max(full_at, now + self._burst + cost))
        self._remove_full()

    def acquire(self, key: str, now: float) -> float:
        """Take a token: 0, or the seconds until there is one, and then none was taken."""
        full_at = max(self._full_at.pop(key, now), now)
        wait = self._wait(full_at, now)
        self._full_at[key] = full_at if wait else full_at + self._interval
        self._remove_full()
        return wait

    def _wait(self, full_at: float, now: float) -> float:
        wait = full_at + self._interval - now - self._burst
        return wait if wait > ROUNDING_SECONDS else 0.0

    def _remove_full(self) -> None:
        if len(self._full_at) > self._keys_max:
            # The first is the one longest unused: every use takes a key out and puts it in at the end.
            del self._full_at[next(iter(self._full_at))]
