"""Rate limit, concurrency limit and circuit breaker of an account or destination, shared by all pods.

A 429, a 503 or several failures in a row open the circuit for all pods until one call, the probe, succeeds. A call that
has to wait raises Deferred and uses no attempt of its event; short waits happen in place.

Without limits a call costs no store call while the circuit is closed: each process reads the open circuits once a
second.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import ClassVar, Protocol

from service.config.throttles import OPEN_SECONDS_MAX, ThrottleConfig
from service.errors import Deferred, PermanentError, StoreNotDurable, StoreUnavailable, TransientError
from service.store.platforms.throttle import CallOutcome, CircuitChange, ThrottlePermit, ThrottleStore
from service.throttles.job_slots import JobSlots
from service.throttles.retry_after import RETRY_AFTER_SECONDS_MAX, cap_retry_after
from service.throttles.slot import AdmittedCall, ProcessSlots, Slot

WAIT_SECONDS_MAX = 0.25
"""Limit of a wait in place. A longer wait releases the job, so that waiting calls do not fill a worker."""
JITTER_SECONDS = 0.5
"""Waiting calls are spread over this time."""
QUEUE_SECONDS_MAX = 30.0
ERROR_INTERVAL_SECONDS = 1.0
"""Time between two errors that a process stores as the last one, so that many failures cost few calls."""
PARK_SECONDS_MIN = 1.0
"""A shorter wait for a limit keeps the job in the queue."""

BREAKER_ERRORS = frozenset({"connect", "timeout", "tls", "reset", "protocol", "platform_not_json"})
"""Failures that are not about the requested item. Other failures, such as a 500, do not open the circuit. After a
status they can be about the item, so that several failures of one item count once."""
CREDENTIAL_KINDS = frozenset({"config_unauthorized", "config_forbidden"})
"""Rejections of the account. 401 opens the circuit at once, 403 as a failure, since it can be about the item."""
CREDENTIALS_REJECTED = "credentials_rejected"
UNAVAILABLE = frozenset({502, 504})
RETRY_AFTER_STATUSES = frozenset({429, 503})
FORBIDDEN = 403


class ThrottleContext(Protocol):
    """State that the throttles of a process share. `clock` is monotonic, in seconds."""

    limits: ThrottleStore
    job_slots: JobSlots
    lease_seconds: float
    clock: Callable[[], float]
    chance: Callable[[], float]

    @property
    def is_current(self) -> bool:
        """Whether `refresh_circuits` has nothing to do."""
        ...

    async def refresh_circuits(self) -> None:
        """Read the open circuits from the store, if the last reading is old."""
        ...


class SharedThrottle:
    """Throttle of one account or destination; a subclass writes the log lines of its kind.

    `troubled` is True while the circuit is open or calls failed recently. `key` names the throttle in the store.
    """

    limit_kind: ClassVar[str]
    """Error code of a call that waits for a limit."""
    share: ClassVar[float]
    """Job slots of a worker that it may hold, times those that are free."""

    def __init__(self, context: ThrottleContext, name: str, key: str, config: ThrottleConfig) -> None:
        self._context = context
        self.name = name
        self.key = key
        self.config = config
        self._slots = ProcessSlots(config.in_flight_max, self.share, context.job_slots, context.clock, WAIT_SECONDS_MAX)
        self._open_until = 0.0
        self._next_at = 0.0
        self._unreadable = ""
        self._error_stored_at = float("-inf")
        self.troubled = False

    def log_opened(self, seconds: float, error_kind: str, http_status: int | None) -> None:
        """Log that this process opened the circuit."""
        raise NotImplementedError

    def log_closed(self) -> None:
        """Log that a probe of this process closed the circuit."""
        raise NotImplementedError

    def log_capped(self, requested_seconds: float) -> None:
        """Log that a response requested a longer open time than is allowed."""
        raise NotImplementedError

    @property
    def calls_per_second(self) -> float:
        """Calls a second that the limits admit, for the recovery of parked jobs. One while no call ends."""
        return min(self.config.calls_per_second, self._slots.calls_per_second)

    def set_circuit(self, open_seconds: float | None) -> None:
        """Set the state from the store: open for that many seconds, recent failures (0), or closed (None)."""
        self.troubled = open_seconds is not None
        self._open_until = self._context.clock() + (open_seconds or 0.0)

    def slot(self, *, repeatable: bool, target: str) -> AbstractAsyncContextManager[None]:
        """Limit one call, as `Throttle.slot`."""
        return Slot(self, repeatable=repeatable, target=target)

    async def begin_call(self) -> AdmittedCall:
        """Acquire a slot for one call. Its token is empty if the store does not track it.

        Raises:
            Deferred, StoreUnavailable: As `Throttle.slot`. No slot is held then.
        """
        deadline = self._context.clock() + WAIT_SECONDS_MAX
        if not await self._slots.acquire(deadline):
            raise self._deferred(ThrottlePermit("in_flight"))
        try:
            return AdmittedCall(await self._enter(deadline), self._context.clock())
        except BaseException:
            self._slots.release()
            raise

    async def end_call(self, call: AdmittedCall, error: BaseException | None, *, repeatable: bool, target: str) -> None:
        """Report the result of a call, and release its slot.

        Raises:
            Deferred, TransientError: As `Throttle.slot`, in place of the error of the call.
        """
        token = call.token
        try:
            if error is None:
                self._slots.add_duration(call.began)
                if token:
                    await self._leave(token, "ok")
            elif isinstance(error, TransientError):
                await self._store_error(error)
                await self._failed(token, error, target, repeatable=repeatable)
            elif isinstance(error, PermanentError):
                await self._store_error(error)
                await self._rejected(token, error, repeatable=repeatable)
            else:
                await self._leave(token, "unknown")
        finally:
            self._slots.release()

    async def _enter(self, deadline: float) -> str:
        """Wait for a slot, for a limited time; return the call's token, empty if the store does not track the call."""
        token = ""
        while True:
            # An operator can close a circuit early. An open one needs no store call of its own.
            if not self._context.is_current:
                await self._context.refresh_circuits()
            permit = self._known_open()
            if permit is None:
                if not (self.troubled or self.config.is_limited):
                    return ""
                token = token or os.urandom(8).hex()
                permit = await self._acquire(token)
            if permit.wait is None:
                return token
            if permit.seconds > deadline - self._context.clock():
                raise self._deferred(permit)
            await asyncio.sleep(permit.seconds)

    def _known_open(self) -> ThrottlePermit | None:
        seconds = self._open_until - self._context.clock()
        return ThrottlePermit("circuit_open", seconds) if seconds > 0 else None

    async def _acquire(self, token: str) -> ThrottlePermit:
        permit = await self._context.limits.acquire(
            self.key,
            token,
            self._context.lease_seconds,
            self.config.in_flight_max,
            self.config.per_minute_max,
            per_second_max=self.config.per_second_max,
            burst_max=self.config.burst_max,
        )
        if permit.wait == "circuit_open":
            self.troubled = True
        return permit

    def _deferred(self, permit: ThrottlePermit) -> Deferred:
        if permit.wait == "circuit_open":
            seconds = min(permit.seconds, OPEN_SECONDS_MAX) + JITTER_SECONDS * self._context.chance()
            return Deferred("circuit_open", f"the circuit of {self.name} is open", seconds, account=self.key)
        seconds = permit.seconds + self._queue_seconds()
        key = self.key if seconds >= PARK_SECONDS_MIN else ""
        return Deferred(self.limit_kind, f"the limit of {self.name} is reached", seconds, account=key)

    def _queue_seconds(self) -> float:
        """Space waiting calls by the rate that the limits admit."""
        config, apart = self.config, self._slots.seconds_apart
        apart = max(apart, 60 / config.per_minute_max if config.per_minute_max else 0.0)
        apart = max(apart, 1 / config.per_second_max if config.per_second_max else 0.0)
        now = self._context.clock()
        self._next_at = min(max(self._next_at, now) + apart, now + QUEUE_SECONDS_MAX)
        return self._next_at - now

    async def _store_error(self, error: TransientError | PermanentError) -> None:
        """Store the last error for operators, at most once in `ERROR_INTERVAL_SECONDS`."""
        now = self._context.clock()
        if now < self._error_stored_at + ERROR_INTERVAL_SECONDS:
            return
        self._error_stored_at = now
        with suppress(StoreUnavailable, StoreNotDurable):
            await self._context.limits.record_error(self.key, error.kind, error.http_status or 0)

    async def _rejected(self, token: str, error: PermanentError, *, repeatable: bool) -> None:
        """Report a rejection. If the credentials were rejected, the circuit opens, and a repeatable call waits.

        Raises:
            Deferred: The circuit is open, and the call may be repeated, or was not sent.
            TransientError: 403, and the circuit is not open yet.
        """
        if error.kind not in CREDENTIAL_KINDS:
            await self._leave(token, "rejected" if error.http_status else "unknown")
            return
        failures_max = self.config.failures_max if error.kind == "config_forbidden" else 1
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
        after = await self._leave(token, outcome, cap_retry_after(error.retry_after_seconds))
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
            self.log_opened(round(after.seconds, 3), kind, error.http_status)
            requested = error.retry_after_seconds if isinstance(error, TransientError) else None
            if requested is not None and requested > RETRY_AFTER_SECONDS_MAX:
                self.log_capped(round(requested, 3))
        self.set_circuit(after.seconds)
        if defer:
            seconds = after.seconds + JITTER_SECONDS * self._context.chance()
            raise Deferred(kind, str(error), seconds, http_status=error.http_status, account=self.key) from error

    async def _leave(
        self, token: str, outcome: CallOutcome, retry_after_seconds: float = 0.0, failures_max: int | None = None
    ) -> CircuitChange | None:
        """Report the end of a call, if necessary; return None without a report or without an answer of the store."""
        if not token and outcome in {"rejected", "unknown"}:
            return None
        try:
            after = await self._context.limits.release(
                self.key,
                token,
                outcome,
                retry_after_seconds=retry_after_seconds,
                failures_max=failures_max or self.config.failures_max,
                open_seconds=self.config.open_seconds,
                open_seconds_max=self.config.open_seconds_max,
            )
        except (StoreUnavailable, StoreNotDurable):
            return None
        if outcome == "failed":
            self.troubled = True  # the next success of this process ends the failures in a row
        if outcome == "ok" and after.state != "open":
            self.troubled = False
        if after.state == "closed":
            self.log_closed()
        return after
