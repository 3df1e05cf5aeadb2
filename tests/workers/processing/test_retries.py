"""Backoff and limits of attempts, for any attempt, random number and Retry-After."""

import random

from hypothesis import given
from hypothesis import strategies as st

from service.settings import Settings
from workers.processing.retries import attempts_exhausted, delay_seconds, stale_read_wait_seconds

SETTINGS = Settings()
attempts = st.integers(1, 10_000)
chances = st.floats(0, 1)
waits = st.none() | st.floats(0, 86_400)


@given(attempts, chances, waits)
def test_backoff_is_at_least_retry_after_and_at_most_the_longer_of_both_limits(
    attempt: int, chance: float, retry_after_seconds: float | None
) -> None:
    seconds = delay_seconds(SETTINGS, attempt, chance, retry_after_seconds)
    assert seconds >= (retry_after_seconds or 0)
    assert seconds <= max(SETTINGS.backoff_seconds_max, retry_after_seconds or 0)


@given(attempts, chances)
def test_longest_backoff_doubles_with_each_attempt_up_to_its_limit(attempt: int, chance: float) -> None:
    bound = delay_seconds(SETTINGS, attempt, 1)
    assert delay_seconds(SETTINGS, attempt, chance) <= bound
    assert delay_seconds(SETTINGS, attempt + 1, 1) == min(bound * 2, SETTINGS.backoff_seconds_max)
    assert delay_seconds(SETTINGS, 1, 1) == SETTINGS.backoff_base_seconds


@given(attempts, st.floats(0, 1e9))
def test_attempts_are_exhausted_at_either_limit(attempt: int, age: float) -> None:
    expected = attempt >= SETTINGS.attempts_max or age >= SETTINGS.event_age_seconds_max
    assert attempts_exhausted(SETTINGS, attempt, age) == expected


@given(st.integers(0, 2**32))
def test_age_ends_the_retries_of_an_outage_before_the_number_of_attempts_does(seed: int) -> None:
    rng, age, attempt = random.Random(seed), 0.0, 1
    while not attempts_exhausted(SETTINGS, attempt, age):
        age += delay_seconds(SETTINGS, attempt, rng.random())
        attempt += 1
    assert age >= SETTINGS.event_age_seconds_max == 72 * 3_600
    assert attempt < SETTINGS.attempts_max / 2


@given(st.floats(0, 1e6))
def test_wait_for_a_newer_state_is_bounded(age: float) -> None:
    seconds = stale_read_wait_seconds(SETTINGS, age)
    assert (seconds == 0) == (age >= SETTINGS.stale_read_wait_seconds)
    assert seconds == 0 or 0.5 <= seconds <= SETTINGS.stale_read_wait_seconds
