"""The quarantine's shelf: deliveries that were refused, whole, so that a mistake of ours costs no event.

Each source has its own, bounded in number, bytes and time, where the newest push out the oldest: a flood at one source
leaves the others' as they are. It lies beside the events and shares nothing with them but the server, and takes nothing
in once that is nearly as full as events may make it.
"""

import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from service.settings import Settings
from service.store.connection.client import Argument, Client
from service.store.keys import Keys
from service.store.scripts import load_script

SECONDS_MAX = 5.0
QUARANTINED_VERSION = 1
MEMORY_RESERVE_PERCENT = 10
"""Of the server's memory: what the quarantine leaves to events before they are refused themselves."""


class QuarantinedDelivery(Struct, frozen=True, array_like=True):
    """One refused delivery: why (`code`, `http_status`), when (seconds since the epoch), and all that was sent.

    `whole` is False where the body was not read to its end; then it is empty, and nothing can be made of it any more.
    Headers may hold credentials: who shows them redacts. Fields are only ever added at the end.
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


QUARANTINE, DELETE_QUARANTINED = load_script("quarantine"), load_script("delete_quarantined")

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(QuarantinedDelivery)


class QuarantineStore:
    """Keeps, shows and forgets refused deliveries."""

    def __init__(self, client: Client, keys: Keys, settings: Settings) -> None:
        self._client = client
        self._keys = keys
        self._settings = settings

    async def put(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Keep them within their sources' bounds; give how many older ones had to go.

        Raises:
            StoreUnavailable, StoreFull: not kept, or not known to be; may be repeated.
        """
        settings, keep_ms = self._settings, int(self._settings.quarantine_retention_hours * 3_600_000)
        arguments: list[Argument] = [settings.quarantine_deliveries_max, settings.quarantine_bytes_max, keep_ms]
        for each in deliveries:
            arguments += (each.source, each.id, _encode(each))
        return await self._client.call(QUARANTINE, arguments, seconds_max=SECONDS_MAX)

    async def sources(self) -> list[str]:
        """The sources that have refused deliveries here, by name.

        Raises:
            StoreUnavailable: no answer.
        """
        names: list[bytes] = await self._client.command("SMEMBERS", self._keys.named("quarantines"))
        return sorted(name.decode() for name in names)

    async def ids(self, source: str) -> list[str]:
        """The ids of a source's, newest first.

        Raises:
            StoreUnavailable: no answer.
        """
        oldest = int((time.time() - self._settings.quarantine_retention_hours * 3_600) * 1000)
        ids: list[bytes] = await self._client.command("ZRANGE", self._index(source), "+inf", oldest, "BYSCORE", "REV")
        return [each.decode() for each in ids]

    async def read(self, source: str, ids: Sequence[str]) -> list[QuarantinedDelivery]:
        """Those of the ids that are still here, in their order.

        Raises:
            StoreUnavailable: no answer.
        """
        if not ids:
            return []
        kept: list[bytes | None] = await self._client.command("HMGET", f"{self._index(source)}:kept", *ids)
        return [_decoder.decode(each) for each in kept if each is not None]

    async def get(self, quarantined_id: str) -> QuarantinedDelivery | None:
        """The one of that id, None if it is not, or no longer, here.

        Raises:
            StoreUnavailable: no answer.
        """
        # The id does not tell its source; there are few, and only a person asks.
        for source in await self.sources():
            found = await self.read(source, [quarantined_id])
            if found:
                return found[0]
        return None

    async def count(self, source: str) -> tuple[int, int]:
        """How many of a source there are, and their bytes.

        Raises:
            StoreUnavailable: no answer.
        """
        deliveries: int = await self._client.command("ZCARD", self._index(source))
        size: bytes | None = await self._client.command("GET", f"{self._index(source)}:bytes")
        return deliveries, int(size or 0)

    async def discard(self, source: str, ids: Sequence[str]) -> int:
        """Forget them; give how many there were.

        Raises:
            StoreUnavailable: not known to be done; may be repeated.
        """
        return await self._client.call(DELETE_QUARANTINED, (source, *ids), seconds_max=SECONDS_MAX)

    def _index(self, source: str) -> str:
        return self._keys.named(f"quarantine:{source}")
