"""Concurrency limit and circuit breaker of each host that `http` actions call.

A host that does not answer uses at most half of a worker, and after failures in a row no worker calls it until a probe
succeeds. The circuits are those of accounts, shared by all pods; the concurrency limit is that of one worker.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import structlog

from service.errors import Deferred
from service.platforms.api.shared_throttle import WAIT_SECONDS_MAX, AccountThrottle, SharedThrottles

CIRCUIT_PREFIX = "target:"
"""Prefix of the names of circuits. No account has such a name."""
RETRY_SECONDS = 1.0
"""Shortest wait for a free slot. It takes place in the store, so that waiting calls do not fill a worker."""
DEFAULT_PORTS = {"http": 80, "https": 443}


class TargetThrottles:
    """Throttles of all hosts, by host and port. `in_flight_max` limits the calls of this process to one host."""

    def __init__(self, throttles: SharedThrottles, in_flight_max: int) -> None:
        self._throttles = throttles
        self._in_flight_max = in_flight_max
        self._by_host: dict[str, TargetThrottle] = {}

    def throttle(self, url: str) -> "TargetThrottle":
        """Return the throttle of the host of `url`. The hosts are those of the rules: no template has a host."""
        host = target_name(url)
        if host not in self._by_host:
            self._by_host[host] = TargetThrottle(self._throttles, host, self._in_flight_max)
        return self._by_host[host]


def target_name(url: str) -> str:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


class TargetThrottle:
    """Throttle of one host."""

    def __init__(self, throttles: SharedThrottles, host: str, in_flight_max: int) -> None:
        self._throttles = throttles
        self._circuit = TargetCircuit(throttles, CIRCUIT_PREFIX + host, 0, 0)
        self._host = host
        self._in_flight_max = in_flight_max
        self._slots = asyncio.Semaphore(in_flight_max)
        self._changed_at = float("-inf")  # last start or end of a call
        throttles.register(self._circuit)

    @asynccontextmanager
    async def slot(self, url: str) -> AsyncGenerator[None]:
        """Limit one call, which may be repeated after any failure.

        Raises:
            Deferred: The limit is reached, or the circuit is open.
        """
        await self._acquire()
        try:
            async with self._circuit.slot(repeatable=True, target=url):
                yield
        finally:
            self._changed_at = self._throttles.clock()
            self._slots.release()

    async def _acquire(self) -> None:
        """Wait for a slot while calls to the host start or end.

        Raises:
            Deferred: No call has started or ended for `WAIT_SECONDS_MAX`.
        """
        while True:
            seconds = self._changed_at + WAIT_SECONDS_MAX - self._throttles.clock()
            if self._slots.locked() and seconds <= 0:
                reason = f"{self._in_flight_max} calls of this worker to {self._host} are in progress"
                raise Deferred("target_throttled", reason, RETRY_SECONDS * (1 + self._throttles.chance()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0.001)):
                    await self._slots.acquire()
                self._changed_at = self._throttles.clock()
                return


class TargetCircuit(AccountThrottle):
    """Circuit breaker of one host. Differs from that of an account in its log lines."""

    def _log_opened(self, seconds: float, error_kind: str, http_status: int | None) -> None:
        structlog.get_logger().warning(
            "target.circuit_opened",
            target=self.account.removeprefix(CIRCUIT_PREFIX),
            seconds=seconds,
            error_kind=error_kind,
            http_status=http_status,
        )

    def _log_closed(self) -> None:
        structlog.get_logger().info("target.circuit_closed", target=self.account.removeprefix(CIRCUIT_PREFIX))
