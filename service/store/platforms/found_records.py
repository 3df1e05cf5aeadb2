"""Accounts of which a record was ever found, for `waybill doctor`: one that finds none has a wrong path or kind."""

from contextlib import suppress

from service.errors import StoreNotDurable, StoreUnavailable
from service.store.connection.client import Client
from service.store.keys import Keys

FOUND, MISSING = b"1", b"0"


class FoundRecords:
    """Accounts that were asked for records: whether at least one was found. Kept over restarts."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.named("found_records")
        self._written: set[tuple[str, bool]] = set()

    async def add(self, account: str, *, found: bool) -> None:
        """Store the result of a fetch. Only the first result of each kind of an account calls the store.

        A store that does not answer, or whose memory is full, is asked again with the next result: events are decided
        without this note.
        """
        if (account, found) in self._written:
            return
        with suppress(StoreUnavailable, StoreNotDurable):
            await self._client.command("HSET" if found else "HSETNX", self._key, account, FOUND if found else MISSING)
            self._written.add((account, found))

    async def accounts(self) -> dict[str, bool]:
        """Return the accounts that were asked for records, and whether one was ever found.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        stored: list[bytes] = await self._client.command("HGETALL", self._key)
        pairs = zip(stored[::2], stored[1::2], strict=True)
        return {account.decode(errors="replace"): value == FOUND for account, value in pairs}
