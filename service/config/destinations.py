"""Destinations of waybill.yaml: the base of the struct that each kind declares in `service.destinations`."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct, field

from service.config.durations import Duration, duration_seconds
from service.config.platforms import LimitCount, Status, secrets
from service.config.throttles import FAILURE_THRESHOLD, OPEN_SECONDS, OPEN_SECONDS_MAX, ThrottleConfig
from service.errors import ConfigError

RETRY_SECONDS_MAX = 30 * 86_400
Seconds = Annotated[float, Meta(gt=0, le=3_600, description="seconds, more than 0 and at most 3600")]
Statuses = Annotated[tuple[Status, ...], Meta(max_length=50, description="a list of HTTP statuses of 400 to 599")]


DEFAULT_KIND = "http"
"""Kind of a destination without `kind`."""


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the calls of all workers; a limit that is not set does not apply.

    `per_second` spaces calls evenly; `burst` is the number of calls that may start at once after a time without calls.
    """

    in_flight: LimitCount | None = None
    per_second: Annotated[float, Meta(gt=0, le=10_000, description="a number, more than 0, at most 10000")] | None = (
        None
    )
    per_minute: LimitCount | None = None
    burst: LimitCount | None = None


class RetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retry policy. `for` is the age of an event up to which its failed effects are retried.

    `statuses` mean that the target did not perform the request: every effect is retried. `ambiguous_statuses` mean that
    the target may have performed it: an effect that is safe to repeat is retried, an unsafe one is `outcome_unknown`.
    """

    duration: Duration = field(name="for", default="72h")
    statuses: Statuses = ()
    ambiguous_statuses: Statuses = ()

    @property
    def seconds(self) -> int:
        """The longest age of an event in seconds."""
        return duration_seconds(self.duration)


class CircuitBreakerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Circuit breaker: `failures` in a row open the circuit for `open_seconds`.

    The time doubles with each failed probe, up to `open_seconds_max`.
    """

    failures: Annotated[int, Meta(ge=1, le=1_000, description="a whole number of 1 to 1000")] = FAILURE_THRESHOLD
    open_seconds: Seconds = OPEN_SECONDS
    open_seconds_max: Seconds = OPEN_SECONDS_MAX


class DestinationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Configuration of one destination. All workers share limits and circuit breaker.

    `ordered: false` lets the effects of a record run out of event order, whatever the rule says.
    """

    limits: LimitsConfig = LimitsConfig()
    retry: RetryConfig = RetryConfig()
    circuit_breaker: CircuitBreakerConfig = CircuitBreakerConfig()
    ordered: bool = True

    @property
    def shown_url(self) -> str:
        """Address of the target without secrets."""
        raise NotImplementedError(f"{type(self).__name__}.shown_url is missing: implement it")

    @property
    def own_headers(self) -> frozenset[str]:
        """Headers that this destination sets, in lower case. Those of a rule would be replaced."""
        return frozenset()

    def throttle_config(self) -> ThrottleConfig:
        """Return limits and circuit breaker."""
        limits, breaker = self.limits, self.circuit_breaker
        return ThrottleConfig(
            in_flight_max=limits.in_flight or 0,
            per_second_max=limits.per_second or 0.0,
            burst_max=limits.burst or 1,
            per_minute_max=limits.per_minute or 0,
            failures_max=breaker.failures,
            open_seconds=breaker.open_seconds,
            open_seconds_max=breaker.open_seconds_max,
        )

    def check(self, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
        """Yield the mistakes that no single field shows; `at` is the destination's path in waybill.yaml."""
        for path, ref in secrets(self, at):
            try:
                ref.resolve(environ, path)
            except ConfigError as error:
                yield error
        if self.limits.burst is not None and self.limits.per_second is None:
            yield ConfigError(f"{at}.limits.burst", "requires per_second", "add per_second, or remove burst")
        if self.retry.seconds > RETRY_SECONDS_MAX:
            yield ConfigError(f"{at}.retry.for", "is longer than 30d", "write at most 30d")
        both = sorted(set(self.retry.statuses) & set(self.retry.ambiguous_statuses))
        if both:
            fix = f"remove {both[0]} from one of the lists"
            yield ConfigError(f"{at}.retry.ambiguous_statuses", f"{both[0]} is also in statuses", fix)
        if self.circuit_breaker.open_seconds > self.circuit_breaker.open_seconds_max:
            yield ConfigError(f"{at}.circuit_breaker.open_seconds", "is above open_seconds_max", "lower it")

    def warnings(self, at: str) -> Iterator[str]:
        """Yield the warnings about a destination without mistakes."""
        limits = self.limits
        if limits.per_second and limits.per_minute and math.ceil(limits.per_second * 60) < limits.per_minute:
            yield f"{at}.limits.per_minute: has no effect, since per_second admits fewer calls a minute"
