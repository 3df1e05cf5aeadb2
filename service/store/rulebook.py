"""The rulebook's shelf: every published version's document under its content hash, and which one is in force."""

import json
import zlib
from typing import Any

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.scripts import PUBLISH

PLAIN_BYTES_MAX = 1_024
"""A longer document is kept deflated: every edit in the admin API makes a version, mostly of the same text."""

DOCUMENT_BYTES_MAX = 32 * 1024 * 1024
_DEFLATED = b"x"
"""What zlib's format begins with, and no JSON does."""

_DAY_MS = 86_400_000


class RulebookStore:
    """Reads and publishes versions. A document is bytes to this room; what it means is `service.rules`' business.

    A version stays on the shelf while it is in force or a decision may name it: as long as decisions and dead letters
    are kept, and an event may be under way before that.
    """

    def __init__(self, client: Client, keys: Keys, settings: Settings) -> None:
        self._client = client
        self._key = keys.named("rulebook")
        self._keep_ms = keep_ms(settings)

    async def version(self) -> str | None:
        """The version in force, None before the first one is published.

        Raises:
            StoreUnavailable: no answer.
        """
        version: bytes | None = await self._client.command("HGET", self._key, "version")
        return version.decode() if version else None

    async def current(self) -> tuple[str, bytes] | None:
        """The version in force and its document.

        Raises:
            StoreUnavailable: no answer.
        """
        version = await self.version()
        if version is None:
            return None
        # Two calls do, since the document of a version never changes.
        document = await self.document(version)
        return (version, document) if document is not None else None

    async def document(self, version: str) -> bytes | None:
        """A version's document, None if it is not on the shelf.

        Raises:
            StoreUnavailable: no answer, or one that cannot be read.
        """
        kept: bytes | None = await self._client.command("GET", f"{self._key}:{version}")
        return _inflated(kept) if kept is not None and kept.startswith(_DEFLATED) else kept

    async def history(self) -> list[dict[str, Any]]:
        """Every publication, newest first: version, author, note, at (ms since the epoch, the store's clock).

        Raises:
            StoreUnavailable: no answer.
        """
        lines: list[bytes] = await self._client.command("LRANGE", f"{self._key}:history", 0, -1)
        return [json.loads(line) for line in lines]

    async def publish(self, version: str, document: bytes, author: str, note: str, expected: str | None) -> bool:
        """Put a version in force if `expected` is the one that is; False if somebody else published meanwhile.

        Raises:
            StoreUnavailable, StoreFull: not published, or not known to be; may be repeated.
        """
        kept = zlib.compress(document) if len(document) > PLAIN_BYTES_MAX else document
        arguments = (version, kept, author, note, expected or "", self._keep_ms)
        return bool(await self._client.call(PUBLISH, arguments, seconds_max=5))


def keep_ms(settings: Settings) -> int:
    """How long a version stays on the shelf after it went out of force; 0: for ever, as dead letters do."""
    if not settings.dead_letter_retention_days:
        return 0
    days = (
        max(settings.decision_retention_days, settings.dead_letter_retention_days)
        + settings.event_age_seconds_max / 86_400
    )
    return max(int(days * _DAY_MS), 1)


def _inflated(kept: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(kept, DOCUMENT_BYTES_MAX)
    except zlib.error as error:
        raise StoreUnavailable(f"a version of the rulebook cannot be read: {error}") from error
