"""Newest entries of the audit log: a list of limited length. The log lines `admin.changed` are the whole audit log."""

from service.store.connection.client import Client
from service.store.keys import Keys

ENTRIES_MAX = 1_000


class AuditStore:
    """Entries of the audit log in one store."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.named("audit")

    async def add(self, entry: bytes) -> None:
        """Add an entry, and remove the oldest one at the limit.

        Raises:
            StoreUnavailable: The entry may or may not be stored.
        """
        await self._client.command("LPUSH", self._key, entry)
        await self._client.command("LTRIM", self._key, 0, ENTRIES_MAX - 1)

    async def entries(self) -> list[bytes]:
        """Return the entries, newest first.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self._client.command("LRANGE", self._key, 0, ENTRIES_MAX - 1)
