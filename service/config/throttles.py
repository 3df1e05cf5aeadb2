"""Limits and circuit breaker of one account or destination, in the form that a throttle uses."""

from msgspec import Struct

FAILURE_THRESHOLD = 5
"""Failures in a row, of all pods, that open a circuit."""
OPEN_SECONDS = 1.0
OPEN_SECONDS_MAX = 60.0
UNLIMITED = float("inf")


class ThrottleConfig(Struct, frozen=True, kw_only=True):
    """Limits and circuit breaker of one account or destination; 0 is no limit.

    `in_flight_max`, `per_second_max` and `per_minute_max` limit the calls of all pods. `burst_max` is the number of
    calls that `per_second_max` admits at once. `failures_max` failures in a row open the circuit for `open_seconds`,
    doubled with each failed probe up to `open_seconds_max`.
    """

    in_flight_max: int = 0
    per_second_max: float = 0.0
    burst_max: int = 1
    per_minute_max: int = 0
    failures_max: int = FAILURE_THRESHOLD
    open_seconds: float = OPEN_SECONDS
    open_seconds_max: float = OPEN_SECONDS_MAX

    @property
    def is_limited(self) -> bool:
        """Whether the store counts the calls."""
        return bool(self.in_flight_max or self.per_second_max or self.per_minute_max)

    @property
    def calls_per_second(self) -> float:
        """Calls a second that the limits admit, for the recovery of parked jobs."""
        return min(self.per_second_max or UNLIMITED, self.per_minute_max / 60 or UNLIMITED)
