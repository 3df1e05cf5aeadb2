"""Quarantine: stores complete rejected deliveries, so that a wrong configuration loses no event.

Each source has its own limits of number, bytes as stored (compressed), and time. At a limit its oldest deliveries are
removed, those without a valid signature first: unverified traffic removes no verified delivery. Other sources are not
affected. The quarantine rejects deliveries before the memory limit for events is reached.
"""

import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from service.settings import Settings
from service.store.connection.client import Argument, Client
from service.store.keys import Keys
from service.store.queue.serialization import compress_body, decompress_body
from service.store.scripts import load_script

CALL_SECONDS_MAX = 5.0
QUARANTINED_VERSION = 1
MEMORY_RESERVE_PERCENT = 10
"""Percentage of the server's memory that is reserved for events, below WAYBILL_STORE_MEMORY_PERCENT_MAX."""


class QuarantinedDelivery(Struct, frozen=True, array_like=True):
    """Rejected delivery: its error code and HTTP status, time of receipt (seconds since the epoch), headers and body.

    `verified` is True if its signature is valid. `whole` is False if the body was not read completely; then `body` is
    empty and the delivery cannot be released.
    Headers may contain credentials: callers redact them before output. New fields are added at the end only.
    """

    version: int
    id: str
    source: str
    code: str
    http_status: int
    received_at: float
    headers: dict[str, str]
    body: bytes
    path_token: str | None
    whole: bool
    query: str = ""
    verified: bool = False
    item: int | None = None
    """Position of the item in its batch; then `body` is that item alone, and the batch was verified."""
    dedupe_key: str = ""


QUARANTINE, DELETE_QUARANTINED = load_script("quarantine"), load_script("delete_quarantined")

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(QuarantinedDelivery)


def _decode(source: str, quarantined_id: str, stored: bytes) -> QuarantinedDelivery:
    """Return a stored delivery; one with the code `undecodable`, which cannot be released, if it is damaged."""
    try:
        found = _decoder.decode(stored)
        return structs.replace(found, body=decompress_body(found.body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return QuarantinedDelivery(
            QUARANTINED_VERSION, quarantined_id, source, "undecodable", 0, 0.0, {}, b"", None, whole=False
        )


class QuarantineStore:
    """Stores, reads and deletes quarantined deliveries."""

    def __init__(self, client: Client, keys: Keys, settings: Settings) -> None:
        self._client = client
        self._keys = keys
        self._settings = settings

    async def put(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Store deliveries within the limits of their sources.

        Returns:
            The number of older deliveries that were removed.

        Raises:
            StoreUnavailable: The deliveries may not be stored; safe to repeat.
            StoreFull: The store is at its memory limit; nothing was written.
        """
        settings, retention_ms = self._settings, int(self._settings.quarantine_retention_hours * 3_600_000)
        arguments: list[Argument] = [settings.quarantine_deliveries_max, settings.quarantine_bytes_max, retention_ms]
        for each in deliveries:
            stored = _encode(structs.replace(each, body=compress_body(each.body)))
            arguments += (each.source, each.id, stored, int(each.verified))
        return await self._client.call(QUARANTINE, arguments, seconds_max=CALL_SECONDS_MAX)

    async def sources(self) -> list[str]:
        """Return the names of sources with quarantined deliveries, sorted.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        names: list[bytes] = await self._client.command("SMEMBERS", self._keys.named("quarantines"))
        return sorted(name.decode(errors="replace") for name in names)

    async def ids(self, source: str) -> list[str]:
        """Return the ids of a source's quarantined deliveries, newest first.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        oldest = int((time.time() - self._settings.quarantine_retention_hours * 3_600) * 1000)
        ids: list[bytes] = await self._client.command("ZRANGE", self._index(source), "+inf", oldest, "BYSCORE", "REV")
        return [each.decode(errors="replace") for each in ids]

    async def read(self, source: str, ids: Sequence[str]) -> list[QuarantinedDelivery]:
        """Return the deliveries with these ids that are still stored, in the order of `ids`.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if not ids:
            return []
        stored: list[bytes | None] = await self._client.command("HMGET", f"{self._index(source)}:kept", *ids)
        return [_decode(source, name, each) for name, each in zip(ids, stored, strict=True) if each is not None]

    async def get(self, quarantined_id: str) -> QuarantinedDelivery | None:
        """Return the delivery of an id; None if it is not stored.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        # The id does not contain the source. There are few sources, and only operators call this.
        for source in await self.sources():
            found = await self.read(source, [quarantined_id])
            if found:
                return found[0]
        return None

    async def count(self, source: str) -> tuple[int, int]:
        """Return the number of a source's quarantined deliveries, and their bytes.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        deliveries: int = await self._client.command("ZCARD", self._index(source))
        size: bytes | None = await self._client.command("GET", f"{self._index(source)}:bytes")
        return deliveries, int(size) if size is not None and size.isdigit() else 0

    async def delete(self, source: str, ids: Sequence[str]) -> int:
        """Delete quarantined deliveries.

        Returns:
            The number of deleted deliveries.

        Raises:
            StoreUnavailable: The deliveries may not be deleted; safe to repeat.
        """
        return await self._client.call(DELETE_QUARANTINED, (source, *ids), seconds_max=CALL_SECONDS_MAX)

    def _index(self, source: str) -> str:
        return self._keys.named(f"quarantine:{source}")
