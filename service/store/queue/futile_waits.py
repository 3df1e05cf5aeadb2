"""Waits for a newer record that were in vain, counted per source. Shared by all workers, and kept over restarts.

The event times of a source with several of them are ahead of the times of its records: for example a time of sending.
"""

from service.store.connection.client import Client
from service.store.keys import Keys

FUTILE_WAITS_MAX = 6
"""Largest count. So many useful waits in a row reset it."""
RETENTION_MS = 7 * 86_400_000
"""The count of a source begins anew after a week, because a platform or sender may change."""


class FutileWaits:
    """Counts of all sources."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def count(self, source: str) -> int:
        """Return the count of a source.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        value: bytes | None = await self._client.command("GET", self._key(source))
        return int(value) if value is not None and value.isdigit() else 0

    async def add(self, source: str) -> int:
        """Count one wait in vain.

        Returns:
            The count, 0 if it was at its maximum.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if await self.count(source) >= FUTILE_WAITS_MAX:
            return 0
        count: int = await self._client.command("INCR", self._key(source))
        await self._client.command("PEXPIRE", self._key(source), RETENTION_MS)
        return count

    async def subtract(self, source: str) -> None:
        """Count one useful wait.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        count = await self.count(source)
        if count > 0:
            await self._client.command("SET", self._key(source), count - 1, "KEEPTTL")

    def _key(self, source: str) -> str:
        return self._keys.named(f"futile:{source}")
