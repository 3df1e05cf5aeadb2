"""Limit of `Retry-After`: one response opens a circuit for at most an hour."""

RETRY_AFTER_SECONDS_MAX = 3_600.0


def cap_retry_after(seconds: float | None) -> float:
    """Return the time for which a response opens a circuit; 0 if it requests none."""
    return min(seconds or 0.0, RETRY_AFTER_SECONDS_MAX)
