"""Rate limit, concurrency limit and circuit breaker of each account, shared by all pods through the store.

A 429, a 503 or several failures in a row open the circuit for all pods until one call, the probe, succeeds. A call that
has to wait raises Deferred and uses no attempt of its event; short waits happen in place.

An account without limits costs no store call while its circuit is closed: each process reads the open circuits once a
second.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import structlog

from service.config.platforms import PlatformConfig
from service.errors import Deferred, PermanentError, StoreNotDurable, StoreUnavailable, TransientError
from service.platforms.api.throttle import Throttle
from service.platforms.api.token_cache import TokenCache
from service.store.platforms.throttle import CallOutcome, CircuitChange, ThrottlePermit, ThrottleStore

WAIT_SECONDS_MAX = 0.25
"""Limit of a wait in place. A longer wait releases the job, so that waiting calls do not fill a worker."""
REFRESH_SECONDS = 1.0
FAILURE_THRESHOLD = 5
"""Failures in a row, of all pods, that open the circuit of an account."""
OPEN_SECONDS = 1.0
OPEN_SECONDS_MAX = 60.0
JITTER_SECONDS = 0.5
"""Waiting calls are spread over this time."""
QUEUE_SECONDS_MAX = 30.0

BREAKER_ERRORS = frozenset({"connect", "timeout", "tls", "reset", "protocol", "platform_not_json"})
"""Failures that are not about the requested item. Other failures, such as a 500, do not open the circuit. After a
status they can be about the item, so that several failures of one item count once."""
CREDENTIAL_KINDS = frozenset({"config_unauthorized", "config_forbidden"})
"""Rejections of the account. 401 opens the circuit at once, 403 as a failure, since it can be about the item."""
CREDENTIALS_REJECTED = "credentials_rejected"
UNAVAILABLE = frozenset({502, 504})
RETRY_AFTER_STATUSES = frozenset({429, 503})
FORBIDDEN = 403

NO_QUEUE = contextlib.nullcontext()


class SharedThrottles:
    """Throttles of all accounts of a process. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        limits: ThrottleStore,
        token_cache: TokenCache,
        call_seconds_max: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,  # noqa: S311 - jitter, no secret
    ) -> None:
        self.token_cache = token_cache
        self.limits = limits
        self.lease_seconds = 3 * call_seconds_max
        """A call may wait for a token, fetch one, and then use its whole timeout."""
        self.clock = clock
        self.chance = chance
        self._account_throttles: dict[str, AccountThrottle] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()

    def throttle(self, account: str, config: PlatformConfig) -> Throttle:
        """Return an account's throttle."""
        throttle = AccountThrottle(
            self, account, config.requests_in_flight_max or 0, config.requests_per_minute_max or 0
        )
        self.register(throttle)
        return throttle

    def register(self, throttle: "AccountThrottle") -> None:
        """Update the circuit of a throttle with those of the store."""
        self._account_throttles[throttle.account] = throttle

    async def refresh_circuits(self) -> None:
        """Read the open circuits, at most once a second. If the store does not answer, the state is unknown."""
        if self.clock() < self._refreshed_at + REFRESH_SECONDS or self._refreshing.locked():
            return
        async with self._refreshing:
            self._refreshed_at = self.clock()
            with contextlib.suppress(StoreUnavailable, StoreNotDurable):
                open_circuits = await self.limits.open_circuits()
                for account, throttle in self._account_throttles.items():
                    throttle.set_circuit(open_circuits.get(account))


class AccountThrottle:
    """Throttle of one account. `troubled` is True while its circuit is open or calls failed recently."""

    def __init__(self, throttles: SharedThrottles, account: str, in_flight_max: int, per_minute_max: int) -> None:
        self._throttles = throttles
        self.account = account
        self._in_flight_max = in_flight_max
        self._per_minute_max = per_minute_max
        self._slots = asyncio.Semaphore(in_flight_max) if in_flight_max else None
        self._open_until = 0.0
        self._call_seconds = 0.2
        self._next_at = 0.0
        self._unreadable = ""
        self._log = structlog.get_logger()
        self.troubled = False

    def set_circuit(self, open_seconds: float | None) -> None:
        """Set the state from the store: open for that many seconds, recent failures (0), or closed (None)."""
        self.troubled = open_seconds is not None
        self._open_until = self._throttles.clock() + (open_seconds or 0.0)

    @asynccontextmanager
    async def slot(self, *, repeatable: bool, target: str) -> AsyncGenerator[None]:
        """Limit one call, as `Throttle.slot`."""
        deadline = self._throttles.clock() + WAIT_SECONDS_MAX
        async with NO_QUEUE if self._slots is None else self._own_slot(self._slots, deadline):
            token = await self._enter(deadline)
            began = self._throttles.clock()
            try:
                yield
            except TransientError as error:
                await self._failed(token, error, target, repeatable=repeatable)
                raise
            except PermanentError as error:
                await self._rejected(token, error, repeatable=repeatable)
                raise
            except BaseException:
                await self._leave(token, "unknown")
                raise
            # A moving average of about ten calls: the distance between waiting calls.
            self._call_seconds += 0.1 * (self._throttles.clock() - began - self._call_seconds)
            await self._leave(token, "ok")

    @asynccontextmanager
    async def _own_slot(self, slots: asyncio.Semaphore, deadline: float) -> AsyncGenerator[None]:
        """Acquire a slot within this process first, without a call to the store."""
        try:
            async with asyncio.timeout(max(deadline - self._throttles.clock(), 0.001)):
                await slots.acquire()
        except TimeoutError:
            raise self._deferred(ThrottlePermit("in_flight")) from None
        try:
            yield
        finally:
            slots.release()

    async def _enter(self, deadline: float) -> str:
        """Wait for a slot, for a limited time; return the call's token, empty if the store does not track the call."""
        token = ""
        while True:
            # A circuit that this process knows to be open needs no store call.
            permit = self._known_open()
            if permit is None:
                await self._throttles.refresh_circuits()
                if not (self.troubled or self._in_flight_max or self._per_minute_max):
                    return ""
                token = token or os.urandom(8).hex()
                permit = await self._acquire(token)
            if permit.wait is None:
                return token
            if permit.seconds > deadline - self._throttles.clock():
                raise self._deferred(permit)
            await asyncio.sleep(permit.seconds)

    def _known_open(self) -> ThrottlePermit | None:
        seconds = self._open_until - self._throttles.clock()
        return ThrottlePermit("circuit_open", seconds) if seconds > 0 else None

    async def _acquire(self, token: str) -> ThrottlePermit:
        lease = self._throttles.lease_seconds
        permit = await self._throttles.limits.acquire(
            self.account, token, lease, self._in_flight_max, self._per_minute_max
        )
        if permit.wait == "circuit_open":
            self.troubled = True
        return permit

    def _deferred(self, permit: ThrottlePermit) -> Deferred:
        if permit.wait == "circuit_open":
            seconds = permit.seconds + JITTER_SECONDS * self._throttles.chance()
            return Deferred("circuit_open", f"the circuit of {self.account} is open", seconds)
        return Deferred(
            "account_throttled", f"the limit of {self.account} is reached", permit.seconds + self._queue_seconds()
        )

    def _queue_seconds(self) -> float:
        """Space waiting calls by the rate of the account."""
        apart = self._call_seconds / self._in_flight_max if self._in_flight_max else 0.0
        apart = max(apart, 60 / self._per_minute_max if self._per_minute_max else 0.0)
        now = self._throttles.clock()
        self._next_at = min(max(self._next_at, now) + apart, now + QUEUE_SECONDS_MAX)
        return self._next_at - now

    async def _rejected(self, token: str, error: PermanentError, *, repeatable: bool) -> None:
        """Report a rejection. If the credentials were rejected, the circuit opens, and a repeatable call waits.

        Raises:
            Deferred: The circuit is open, and the call may be repeated, or was not sent.
            TransientError: 403, and the circuit is not open yet.
        """
        if error.kind not in CREDENTIAL_KINDS:
            await self._leave(token, "rejected" if error.http_status else "unknown")
            return
        failures_max = FAILURE_THRESHOLD if error.kind == "config_forbidden" else 1
        after = await self._leave(token, "failed", failures_max=failures_max)
        may_wait = repeatable or not error.is_sent
        self._follow(after, error, CREDENTIALS_REJECTED, defer=may_wait)
        if may_wait:
            transient = TransientError(error.kind, str(error), http_status=error.http_status)
            transient.is_sent = error.is_sent
            raise transient from error

    async def _failed(self, token: str, error: TransientError, target: str, *, repeatable: bool) -> None:
        """Report a failure.

        Raises:
            Deferred: The circuit is open, and the call may be repeated.
        """
        not_now = error.http_status in RETRY_AFTER_STATUSES
        # 403 with Retry-After is the rate limit of an account; other statuses with it are about one record.
        not_now = not_now or (error.http_status == FORBIDDEN and error.retry_after_seconds is not None)
        wide = error.http_status in UNAVAILABLE or (
            error.kind in BREAKER_ERRORS and (error.http_status is None or self._is_other_item(target))
        )
        outcome: CallOutcome = "rate_limited" if not_now else "failed" if wide else "rejected"
        after = await self._leave(token, outcome, error.retry_after_seconds or 0.0)
        self._follow(after, error, error.kind, defer=not_now or repeatable)

    def _is_other_item(self, target: str) -> bool:
        """Return whether the previous unreadable response was about another item, and remember this one."""
        previous, self._unreadable = self._unreadable, target
        return target != previous

    def _follow(
        self, after: CircuitChange | None, error: TransientError | PermanentError, kind: str, *, defer: bool
    ) -> None:
        """Note an open circuit, and log its opening.

        Raises:
            Deferred: The circuit is open, and `defer` is set.
        """
        if after is None or after.state not in {"opened", "open"}:
            return
        if after.state == "opened":
            self._log_opened(round(after.seconds, 3), kind, error.http_status)
        self.set_circuit(after.seconds)
        if defer:
            seconds = after.seconds + JITTER_SECONDS * self._throttles.chance()
            raise Deferred(kind, str(error), seconds, http_status=error.http_status) from error

    async def _leave(
        self,
        token: str,
        outcome: CallOutcome,
        retry_after_seconds: float = 0.0,
        failures_max: int = FAILURE_THRESHOLD,
    ) -> CircuitChange | None:
        """Report the end of a call, if necessary; return None without a report or without an answer of the store."""
        if not token and outcome in {"ok", "rejected", "unknown"}:
            return None
        try:
            after = await self._throttles.limits.release(
                self.account,
                token,
                outcome,
                retry_after_seconds=retry_after_seconds,
                failures_max=failures_max,
                open_seconds=OPEN_SECONDS,
                open_seconds_max=OPEN_SECONDS_MAX,
            )
        except (StoreUnavailable, StoreNotDurable):
            return None
        if outcome == "failed":
            self.troubled = True  # the next success of this process ends the failures in a row
        if outcome == "ok" and after.state != "open":
            self.troubled = False
        if after.state == "closed":
            self._log_closed()
        return after

    def _log_opened(self, seconds: float, error_kind: str, http_status: int | None) -> None:
        self._log.warning(
            "platform.circuit_opened",
            platform=self.account,
            seconds=seconds,
            error_kind=error_kind,
            http_status=http_status,
        )

    def _log_closed(self) -> None:
        self._log.info("platform.circuit_closed", platform=self.account)
