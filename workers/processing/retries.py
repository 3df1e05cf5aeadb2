"""When the next attempt comes, and when there is none. Pure: chance and time are handed in."""

from service.settings import Settings


def delay_seconds(settings: Settings, attempt: int, chance: float, retry_after_seconds: float | None = None) -> float:
    """How long to wait after the given attempt (from 1): full jitter under a doubling bound, never before Retry-After.

    `chance` is a random number from 0 to 1. Full jitter spreads the retries of a burst over the whole span, which is
    what lets a struggling platform recover.
    """
    # The bound is reached long before; 2.0**1024 would raise.
    doublings = min(attempt - 1, 32)
    bound = min(settings.backoff_base_seconds * 2.0**doublings, settings.backoff_seconds_max)
    return max(bound * chance, retry_after_seconds or 0.0)


def attempts_exhausted(settings: Settings, attempt: int, age_seconds: float) -> str | None:
    """Why there is no further attempt after this one; None if there is one."""
    if attempt >= settings.attempts_max:
        return "attempts_used_up"
    if age_seconds >= settings.event_age_seconds_max:
        return "too_old"
    return None


def catch_up_seconds(settings: Settings, age_seconds: float) -> float:
    """How long to wait for a platform that announced a record and does not have it yet; 0 once that took too long."""
    if age_seconds >= settings.stale_read_wait_seconds:
        return 0.0
    # Half its age again: soon at first, then ever more rarely.
    return min(max(age_seconds / 2, 0.5), settings.stale_read_wait_seconds)
