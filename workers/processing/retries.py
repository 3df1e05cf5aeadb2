"""Retry policy: backoff, limits of attempts and age, wait for stale reads. Pure."""

from service.settings import Settings

STALE_READ_WAIT_SECONDS_MIN = 0.5
"""Shortest wait after a stale read."""


def delay_seconds(settings: Settings, attempt: int, chance: float, retry_after_seconds: float | None = None) -> float:
    """Return the backoff in seconds after attempt `attempt`, numbered from 1, and at least `retry_after_seconds`.

    `chance` is a random number from 0 to 1. Exponential backoff with full jitter spreads the retries of a burst over
    the whole interval, so that an overloaded platform can recover.
    """
    # The maximum is reached much earlier; 2.0**1024 raises OverflowError.
    doublings = min(attempt - 1, 32)
    bound = min(settings.backoff_base_seconds * 2.0**doublings, settings.backoff_seconds_max)
    return max(bound * chance, retry_after_seconds or 0.0)


def attempts_exhausted(
    settings: Settings, attempt: int, age_seconds: float, retry_for_seconds: float | None = None
) -> bool:
    """Return whether no further attempt is allowed, by the number of attempts or the age of the event.

    `retry_for_seconds` is the longest age if the failure is one of a destination.
    """
    age_seconds_max = settings.event_age_seconds_max if retry_for_seconds is None else retry_for_seconds
    return attempt >= settings.attempts_max or age_seconds >= age_seconds_max


def stale_read_wait_seconds(settings: Settings, age_seconds: float) -> float:
    """Return the seconds until the next fetch after a stale read. 0 after the configured maximum wait."""
    if age_seconds >= settings.stale_read_wait_seconds:
        return 0.0
    # Half of the age: the interval grows with the age of the event.
    return min(max(age_seconds / 2, STALE_READ_WAIT_SECONDS_MIN), settings.stale_read_wait_seconds)
