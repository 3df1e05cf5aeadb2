"""The rulebook's shelf: every published version's document under its content hash, and which one is in force."""

import json
from typing import Any

from service.store.client import Client
from service.store.keys import Keys
from service.store.scripts import PUBLISH


class RulebookShelf:
    """Reads and publishes versions. A document is bytes to this room; what it means is `service.rules`' business."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.named("rulebook")

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
        document = await self.document(version)
        return (version, document) if document is not None else None

    async def document(self, version: str) -> bytes | None:
        """A version's document, None if it is not on the shelf.

        Raises:
            StoreUnavailable: no answer.
        """
        return await self._client.command("GET", f"{self._key}:{version}")

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
        arguments = (version, document, author, note, expected or "")
        return bool(await self._client.call(PUBLISH, arguments, seconds_max=5))
