"""Throttles of a process: one for each account and destination, with their circuits from the store."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog

from service.background import TaskFailures
from service.config.platforms import PlatformConfig
from service.config.throttles import ThrottleConfig
from service.store.platforms.throttle import ThrottleStore
from service.store.platforms.token_cache import SharedTokenCache
from service.throttles.job_slots import JobSlots
from service.throttles.retry_after import RETRY_AFTER_SECONDS_MAX
from service.throttles.shared_throttle import SharedThrottle

REFRESH_SECONDS = 1.0
DESTINATION_PREFIX = "destination:"


def name_circuits(open_seconds: Mapping[str, float]) -> dict[tuple[str | None, str | None], float]:
    """Return the values by platform account or destination; the other one is None."""
    parts = {key: key.partition(DESTINATION_PREFIX) for key in open_seconds}
    return {(parts[key][0] or None, parts[key][2] or None): seconds for key, seconds in open_seconds.items()}


"""Prefix of the keys of destinations in the store. No account has such a name."""

ThrottleT = TypeVar("ThrottleT", bound=SharedThrottle)


class AccountThrottle(SharedThrottle):
    """Throttle of a platform account."""

    limit_kind = "account_throttled"
    share = 3.0  # many installations have one account, and every event calls it

    def log_opened(self, seconds: float, error_kind: str, http_status: int | None) -> None:
        """Log that this process opened the circuit."""
        structlog.get_logger().warning(
            "platform.circuit_opened",
            platform=self.name,
            seconds=seconds,
            error_kind=error_kind,
            http_status=http_status,
        )

    def log_closed(self) -> None:
        """Log that a probe of this process closed the circuit."""
        structlog.get_logger().info("platform.circuit_closed", platform=self.name)

    def log_capped(self, requested_seconds: float) -> None:
        """Log that a response requested a longer open time than is allowed."""
        structlog.get_logger().warning(
            "platform.retry_after_capped",
            platform=self.name,
            requested_seconds=requested_seconds,
            seconds=RETRY_AFTER_SECONDS_MAX,
        )


class DestinationThrottle(SharedThrottle):
    """Throttle of a destination."""

    limit_kind = "destination_throttled"
    share = 1.0

    def log_opened(self, seconds: float, error_kind: str, http_status: int | None) -> None:
        """Log that this process opened the circuit."""
        structlog.get_logger().warning(
            "destination.circuit_opened",
            destination_name=self.name,
            seconds=seconds,
            error_kind=error_kind,
            http_status=http_status,
        )

    def log_closed(self) -> None:
        """Log that a probe of this process closed the circuit."""
        structlog.get_logger().info("destination.circuit_closed", destination_name=self.name)

    def log_capped(self, requested_seconds: float) -> None:
        """Log that a response requested a longer open time than is allowed."""
        structlog.get_logger().warning(
            "destination.retry_after_capped",
            destination_name=self.name,
            requested_seconds=requested_seconds,
            seconds=RETRY_AFTER_SECONDS_MAX,
        )


class SharedThrottles:
    """Throttles of all accounts and destinations of a process. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        limits: ThrottleStore,
        token_cache: SharedTokenCache,
        call_seconds_max: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,  # noqa: S311 - jitter, no secret
        *,
        job_slots: JobSlots | None = None,
    ) -> None:
        self.job_slots = job_slots or JobSlots()
        self.token_cache = token_cache
        self.limits = limits
        self.lease_seconds = 3 * call_seconds_max
        """A call may wait for a token, fetch one, and then use its whole timeout."""
        self.clock = clock
        self.chance = chance
        self._by_key: dict[str, SharedThrottle] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._failures = TaskFailures("circuits")
        self._is_read = False

    def account(self, account: str, config: PlatformConfig) -> AccountThrottle:
        """Return the throttle of an account."""
        limits = ThrottleConfig(
            in_flight_max=config.requests_in_flight_max or 0, per_minute_max=config.requests_per_minute_max or 0
        )
        return self._register(AccountThrottle(self, account, account, limits))

    def destination(self, name: str, config: ThrottleConfig) -> DestinationThrottle:
        """Return the throttle of a destination."""
        return self._register(DestinationThrottle(self, name, DESTINATION_PREFIX + name, config))

    def rates(self) -> dict[str, float]:
        """Return the calls per second that the limits of each account and destination admit, by key."""
        return {key: throttle.calls_per_second for key, throttle in self._by_key.items()}

    def _register(self, throttle: ThrottleT) -> ThrottleT:
        self._by_key[throttle.key] = throttle
        self._is_read = False  # the state of the new throttle is not known yet
        return throttle

    @property
    def is_current(self) -> bool:
        """Whether the open circuits were read within a second, or are being read."""
        is_recent = self.clock() < self._refreshed_at + REFRESH_SECONDS
        return self._is_read and (is_recent or self._refreshing.locked())

    async def refresh_circuits(self) -> None:
        """Read the open circuits, at most once a second. If the store does not answer, the state is unknown.

        The first calls of a process wait for the first answer: a circuit may be open, or paused by hand.
        """
        if self.is_current:
            return
        async with self._refreshing:
            if self._is_read and self.clock() < self._refreshed_at + REFRESH_SECONDS:
                return
            self._refreshed_at = self.clock()
            with self._failures.handled():
                open_circuits = await self.limits.open_circuits()
                for key, throttle in self._by_key.items():
                    throttle.set_circuit(open_circuits.get(key))
            self._is_read = True
