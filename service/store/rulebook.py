"""Rulebook versions: the document of each published version under its content hash, and the active version."""

import json
import zlib
from typing import Any, cast

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.scripts import PUBLISH

PLAIN_BYTES_MAX = 1_024
"""Longer documents are compressed: every edit through the admin API stores a version."""

DOCUMENT_BYTES_MAX = 32 * 1024 * 1024
_ZLIB_PREFIX = b"x"
"""First byte of the zlib format. JSON never starts with it."""

_DAY_MS = 86_400_000


class RulebookStore:
    """Reads and publishes versions. Documents are bytes here; `service.rules` parses them.

    A version is stored while it is active, and as long after as a stored decision can refer to it.
    """

    def __init__(self, client: Client, keys: Keys, settings: Settings) -> None:
        self._client = client
        self._key = keys.named("rulebook")
        self._retention_ms = retention_ms(settings)

    async def version(self) -> str | None:
        """Return the active version; None before the first publication.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        version: bytes | None = await self._client.command("HGET", self._key, "version")
        return version.decode(errors="replace") if version else None

    async def current(self) -> tuple[str, bytes] | None:
        """Return the active version and its document; None before the first publication.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        version = await self.version()
        if version is None:
            return None
        # Two calls are safe: the document of a version never changes.
        document = await self.document(version)
        return (version, document) if document is not None else None

    async def document(self, version: str) -> bytes | None:
        """Return the document of a version; None if it is not stored.

        Raises:
            StoreUnavailable: The store does not answer, or the document is damaged.
        """
        stored: bytes | None = await self._client.command("GET", f"{self._key}:{version}")
        return _decompress(version, stored) if stored is not None and stored.startswith(_ZLIB_PREFIX) else stored

    async def history(self) -> list[dict[str, Any]]:
        """Return all publications, newest first: version, author, note, at (ms since the epoch, the store's clock).

        Lines of other programs are left out. If the list was damaged, the active version is still its first entry.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        lines: list[bytes] = await self._client.command("LRANGE", f"{self._key}:history", 0, -1)
        found = [entry for line in lines if (entry := _publication(line)) is not None]
        return found or await self._active_publication()

    async def _active_publication(self) -> list[dict[str, Any]]:
        names = ("version", "author", "note", "at")
        values: list[bytes | None] = await self._client.command("HMGET", self._key, *names)
        version, author, note, at = (value.decode(errors="replace") if value else "" for value in values)
        return [{"version": version, "author": author, "note": note, "at": int(at or 0)}] if version else []

    async def publish(self, version: str, document: bytes, author: str, note: str, expected: str | None) -> bool:
        """Activate a version if `expected` is the active one.

        Returns:
            False if another version was published in the meantime.

        Raises:
            StoreUnavailable: The version may not be published; safe to repeat.
            StoreFull: The store is at its memory limit; nothing was written.
        """
        stored = zlib.compress(document) if len(document) > PLAIN_BYTES_MAX else document
        arguments = (version, stored, author, note, expected or "", self._retention_ms)
        return bool(await self._client.call(PUBLISH, arguments, seconds_max=5))


def retention_ms(settings: Settings) -> int:
    """Return the retention of a replaced version in milliseconds; 0 is no limit, as for dead letters."""
    if not settings.dead_letter_retention_days:
        return 0
    days = (
        max(settings.decision_retention_days, settings.dead_letter_retention_days)
        + settings.event_age_seconds_max / 86_400
    )
    return max(int(days * _DAY_MS), 1)


def _publication(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:  # neither JSON nor UTF-8
        return None
    is_complete = isinstance(entry, dict) and {"version", "author", "note", "at"} <= entry.keys()
    return cast("dict[str, Any]", entry) if is_complete else None


def _decompress(version: str, stored: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(stored, DOCUMENT_BYTES_MAX)
    except zlib.error as error:
        reason = f"rulebook version {version} is damaged in the store: {error}. Publish the rules again"
        raise StoreUnavailable(reason) from error
