"""Token cache: OAuth access tokens, shared by all pods, each stored for its lifetime.

If the store does not answer, every pod fetches its own token.
"""

import contextlib
import os

from service.errors import StoreNotDurable, StoreUnavailable
from service.store.connection.client import Client
from service.store.scripts import TOKEN


class SharedTokenCache:
    """Tokens by name. After `fetch_timeout_seconds` another process may fetch a token that is not stored yet."""

    def __init__(self, client: Client, fetch_timeout_seconds: float) -> None:
        self._client = client
        self._fetch_ms = int(fetch_timeout_seconds * 1000)
        # Only the process that fetches a token may end its fetching state.
        self._holder = os.urandom(8).hex()

    async def get(self, name: str) -> tuple[str, float] | float | None:
        """Get a token.

        Returns:
            The token and its remaining lifetime in seconds. None if the caller must fetch it. A number of seconds to
            wait while another process fetches it.
        """
        try:
            reply = await self._client.call(TOKEN, ("get", name, self._holder, self._fetch_ms), seconds_max=0)
        except (StoreUnavailable, StoreNotDurable):
            return None
        if len(reply) == 2:
            with contextlib.suppress(UnicodeDecodeError):  # damaged: fetch another one
                return reply[0].decode(), reply[1] / 1000
            return None
        return reply[0] / 1000 if reply else None

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Store a token for its lifetime in seconds."""
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            milliseconds = max(int(seconds * 1000), 1)
            await self._client.call(TOKEN, ("put", name, self._holder, token, milliseconds), seconds_max=0)

    async def invalidate(self, name: str, token: str) -> None:
        """Delete a token that the platform rejected. With an empty `token`, end the fetching state."""
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await self._client.call(TOKEN, ("invalidate", name, self._holder, token), seconds_max=0)
