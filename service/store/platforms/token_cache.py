"""Access tokens that all pods share, so that one is fetched and not one per pod; they end with their own lifetime.

Where the store does not answer, every pod fetches its own: a token is no reason to wait.
"""

import contextlib
import os

from service.errors import StoreNotDurable, StoreUnavailable
from service.store.connection.client import Client
from service.store.scripts import TOKEN


class SharedTokenCache:
    """The shelf; `fetch_timeout_seconds` is how long one may be busy fetching before another one tries."""

    def __init__(self, client: Client, fetch_timeout_seconds: float) -> None:
        self._client = client
        self._fetch_ms = int(fetch_timeout_seconds * 1000)
        # Only who fetches may say that nobody does any more.
        self._holder = os.urandom(8).hex()

    async def get(self, name: str) -> tuple[str, float] | float | None:
        """Give the token and its seconds; None if the caller is to fetch one, or how many seconds to wait for it."""
        try:
            answer = await self._client.call(TOKEN, ("take", name, self._holder, self._fetch_ms), seconds_max=0)
        except (StoreUnavailable, StoreNotDurable):
            return None
        if len(answer) == 2:
            return answer[0].decode(), answer[1] / 1000
        return answer[0] / 1000 if answer else None

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Put a token there for so many seconds."""
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            milliseconds = max(int(seconds * 1000), 1)
            await self._client.call(TOKEN, ("keep", name, self._holder, token, milliseconds), seconds_max=0)

    async def invalidate(self, name: str, token: str) -> None:
        """Take away a token that was refused; an empty one: stop fetching."""
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await self._client.call(TOKEN, ("drop", name, self._holder, token), seconds_max=0)
