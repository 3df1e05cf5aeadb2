"""Parked jobs: they wait for an account with an open circuit or a reached limit, and use no resources.

Each store has its own parked jobs. The circuits are on the first store, like the other state of accounts.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.scripts import PARKED, UNPARK

RECOVERY_JOBS_FIRST = 10
RECOVERY_JOBS_PER_SECOND_MAX = 1_000
PAUSED_UNTIL_MS = 9_000_000_000_000_000
"""End of a pause by an operator: a circuit that stays open until it is resumed."""


class ParkedJobs(Struct, frozen=True):
    """Number of jobs parked under one account, and seconds since the oldest was parked."""

    jobs: int
    age_seconds: float


class Parking:
    """Frees parked jobs, and pauses and resumes accounts."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def accounts(self) -> dict[str, ParkedJobs]:
        """Return the accounts with parked jobs on this store.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return decode_parked(await self._client.call(PARKED, (), seconds_max=0))

    async def unpark(self, account: str, circuit: Literal["probe", "closed"], per_second_max: float) -> int:
        """Make the oldest jobs of an account due: one for a probe, otherwise twice as many as a second ago.

        Repeated calls within a second, of all workers, free nothing.

        Returns:
            The number of jobs.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        most = max(int(min(per_second_max, RECOVERY_JOBS_PER_SECOND_MAX)), 1)
        arguments = (account, circuit, min(RECOVERY_JOBS_FIRST, most), most)
        return await self._client.call(UNPARK, arguments, seconds_max=0)

    async def pause(self, account: str) -> None:
        """Open the circuit of an account until `resume`. Only for the first store.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self._client.command("HSET", self._keys.named("circuits"), account, f"{PAUSED_UNTIL_MS}:0:0")

    async def resume(self, account: str) -> bool:
        """Close the circuit of an account. Only for the first store.

        Returns:
            Whether it was open.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self._client.command("DEL", self._keys.named(f"probe:{account}"))
        return bool(await self._client.command("HDEL", self._keys.named("circuits"), account))


def decode_parked(flat: Sequence[Any]) -> dict[str, ParkedJobs]:
    """Return the accounts with parked jobs from the reply of the script."""
    return {
        flat[i].decode(errors="replace"): ParkedJobs(flat[i + 1], flat[i + 2] / 1000) for i in range(0, len(flat), 3)
    }
