"""Limit of `Retry-After`: one response opens the circuit of an account for at most an hour."""

import structlog

RETRY_AFTER_SECONDS_MAX = 3_600.0


def cap_retry_after(seconds: float | None) -> float:
    """Return the time for which a response opens a circuit; 0 if it requests none."""
    return min(seconds or 0.0, RETRY_AFTER_SECONDS_MAX)


def log_capped(account: str, requested_seconds: float | None) -> None:
    """Log `platform.retry_after_capped` if a response requested a longer time."""
    if requested_seconds and requested_seconds > RETRY_AFTER_SECONDS_MAX:
        structlog.get_logger().warning(
            "platform.retry_after_capped",
            platform=account,
            requested_seconds=round(requested_seconds, 3),
            seconds=RETRY_AFTER_SECONDS_MAX,
        )
