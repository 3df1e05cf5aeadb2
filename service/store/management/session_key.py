"""Key that signs the sessions of the console: random, shared by all pods, stored in the first store."""

import secrets

from service.store.connection.client import Client
from service.store.keys import Keys

KEY_BYTES = 32


class SessionKey:
    """Session key of one store."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.named("session_key")

    async def load(self) -> bytes:
        """Return the key. The first call of all pods creates it.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        stored: bytes | None = await self._client.command("GET", self._key)
        if stored is None or len(stored) != KEY_BYTES:
            # A damaged key is replaced, which ends all sessions.
            condition = ("NX",) if stored is None else ()
            await self._client.command("SET", self._key, secrets.token_bytes(KEY_BYTES), *condition)
            stored = await self._client.command("GET", self._key)
        return stored or b""
