"""Throttle of an account or destination, shared by all pods: concurrent calls, calls per time, circuit breaker.

A destination is stored under a name with the prefix `destination:`, an account under its own name.
"""

import re
import time
from collections.abc import Sequence
from typing import Literal, cast

from msgspec import Struct

from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.scripts import OPEN_CIRCUITS, THROTTLE_ACQUIRE, THROTTLE_RELEASE

ERROR_RETENTION_SECONDS = 7 * 86_400
PROBE_TIMEOUT_SECONDS = 60.0
"""After this time without a result, another call becomes the probe."""

_ERROR = re.compile(r"(\d{1,15}) (\d{1,3}) (\w{1,64})", re.ASCII)

WaitReason = Literal["circuit_open", "in_flight", "rate"]
CallOutcome = Literal["ok", "rejected", "failed", "rate_limited", "unknown"]
"""Outcome of a call. `rejected`: an error response of a working platform. `failed`: no response, or a server error.
`rate_limited`: 429, or a Retry-After."""


class ThrottlePermit(Struct, frozen=True):
    """Permit for one call. If `wait` is not None, the call must wait for `seconds` for that reason."""

    wait: WaitReason | None = None
    seconds: float = 0.0


class CircuitChange(Struct, frozen=True):
    """State of the circuit after a call.

    `opened` by this call for `seconds`, `open` already, `closed` again, or `unchanged`.
    """

    state: Literal["unchanged", "closed", "opened", "open"]
    seconds: float


class LastError(Struct, frozen=True):
    """Last error of a call to an account or destination. `http_status` is 0 if there was no response."""

    at_ms: int
    kind: str
    http_status: int


class ThrottleStore:
    """Throttles of all accounts and destinations, and their last errors."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def acquire(
        self,
        account: str,
        token: str,
        lease_seconds: float,
        in_flight_max: int,
        per_minute_max: int,
        *,
        per_second_max: float = 0.0,
        burst_max: int = 1,
    ) -> ThrottlePermit:
        """Acquire a permit for one call; 0 is no limit. Its slot is freed after `lease_seconds` at the latest.

        `per_second_max` spaces the calls evenly, and admits `burst_max` calls at once after a time without calls.

        Returns:
            The permit, or the reason and time to wait.

        Raises:
            StoreUnavailable: The store does not answer; safe to repeat with the same token.
        """
        limits = (int(lease_seconds * 1000), in_flight_max, per_minute_max, int(PROBE_TIMEOUT_SECONDS * 1000))
        arguments = (account, token, *limits, per_second_max, burst_max)
        status, *rest = await self._client.call(THROTTLE_ACQUIRE, arguments, seconds_max=1)
        if status == b"granted":
            return ThrottlePermit()
        return ThrottlePermit(cast("WaitReason", cast("bytes", status).decode()), rest[0] / 1000)

    async def release(
        self,
        account: str,
        token: str,
        outcome: CallOutcome,
        *,
        retry_after_seconds: float,
        failures_max: int,
        open_seconds: float,
        open_seconds_max: float,
    ) -> CircuitChange:
        """Release the permit of a call and report its outcome.

        The circuit opens after `failures_max` consecutive failures, or after one `rate_limited` call. The open time is
        `retry_after_seconds` if set; otherwise `open_seconds`, doubled with each failed probe up to `open_seconds_max`.

        Returns:
            The state of the circuit.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        times = (int(retry_after_seconds * 1000), failures_max, int(open_seconds * 1000), int(open_seconds_max * 1000))
        state, ms = await self._client.call(THROTTLE_RELEASE, (account, token, outcome, *times), seconds_max=1)
        return CircuitChange(state.decode(), float(ms) / 1000)

    async def open_circuits(self) -> dict[str, float]:
        """Return the names with recent failures, each with the seconds until the next probe (0: closed).

        Raises:
            StoreUnavailable: The store does not answer.
        """
        flat = await self._client.call(OPEN_CIRCUITS, (), seconds_max=0)
        return {flat[i].decode(errors="replace"): flat[i + 1] / 1000 for i in range(0, len(flat), 2)}

    async def record_error(self, account: str, kind: str, http_status: int) -> None:
        """Store the error of a call as the last one. It expires after a week.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        error = f"{time.time() * 1000:.0f} {http_status} {kind}"
        await self._client.command("SET", self._error_key(account), error, "EX", ERROR_RETENTION_SECONDS)

    async def last_errors(self, accounts: Sequence[str]) -> dict[str, LastError]:
        """Return the last error of each account that has one. One that cannot be read is left out.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if not accounts:
            return {}
        stored: list[bytes | None] = await self._client.command("MGET", *map(self._error_key, accounts))
        found: dict[str, LastError] = {}
        for account, error in zip(accounts, stored, strict=True):
            match = _ERROR.fullmatch((error or b"").decode(errors="replace"))
            if match:
                found[account] = LastError(int(match[1]), match[3], int(match[2]))
        return found

    def _error_key(self, account: str) -> str:
        return self._keys.named(f"last_error:{account}")
