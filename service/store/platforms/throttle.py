"""What the workers share of a platform account: how many calls are under way, how many there were, whether it rests."""

from typing import Literal, cast

from msgspec import Struct

from service.store.connection.client import Client
from service.store.scripts import OPEN_CIRCUITS, THROTTLE_ACQUIRE, THROTTLE_RELEASE

PROBE_SECONDS_MAX = 60.0
"""After this long a probe that was never heard of again is made by another one."""

WaitReason = Literal["paused", "in_flight", "rate"]
CallOutcome = Literal["ok", "answered", "failed", "asked", "left"]


class ThrottlePermit(Struct, frozen=True):
    """Whether a call may be made: `wait` says what for and how long in seconds, None that it may."""

    wait: WaitReason | None = None
    seconds: float = 0.0


class CircuitChange(Struct, frozen=True):
    """What a call's end changed: `paused` for so many seconds by this call, `rests` already, `resumed`, or `fine`."""

    state: Literal["fine", "resumed", "paused", "rests"]
    seconds: float


class ThrottleStore:
    """Permits for calls, by account. Every method raises StoreUnavailable where the store does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def acquire(
        self, account: str, token: str, lease_seconds: float, in_flight_max: int, per_minute_max: int
    ) -> ThrottlePermit:
        """Ask for a call's permit; 0 is no limit. The place it takes is free again after `lease_seconds` at the latest.

        Raises:
            StoreUnavailable: no answer; may be repeated with the same token.
        """
        limits = (int(lease_seconds * 1000), in_flight_max, per_minute_max, int(PROBE_SECONDS_MAX * 1000))
        word, *rest = await self._client.call(THROTTLE_ACQUIRE, (account, token, *limits), seconds_max=1)
        if word == b"go":
            return ThrottlePermit()
        return ThrottlePermit(cast("WaitReason", cast("bytes", word).decode()), rest[0] / 1000)

    async def release(
        self,
        account: str,
        token: str,
        outcome: CallOutcome,
        *,
        asked_seconds: float,
        failures_max: int,
        pause_seconds: float,
        pause_seconds_max: float,
    ) -> CircuitChange:
        """Say how a call ended, and give its place back; see throttle_release.lua for what follows.

        Raises:
            StoreUnavailable: no answer.
        """
        times = (int(asked_seconds * 1000), failures_max, int(pause_seconds * 1000), int(pause_seconds_max * 1000))
        word, ms = await self._client.call(THROTTLE_RELEASE, (account, token, outcome, *times), seconds_max=1)
        return CircuitChange(word.decode(), float(ms) / 1000)

    async def open_circuits(self) -> dict[str, float]:
        """Give the accounts that failed of late, each with how many seconds it still rests.

        Raises:
            StoreUnavailable: no answer.
        """
        flat = await self._client.call(OPEN_CIRCUITS, (), seconds_max=0)
        return {flat[i].decode(): flat[i + 1] / 1000 for i in range(0, len(flat), 2)}
