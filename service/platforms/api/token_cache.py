"""Interface of the cache for OAuth2 tokens, and a cache that stores nothing.

`service.store.platforms.token_cache` shares tokens between pods; without it, every process fetches its own.
"""

from typing import Protocol

CachedToken = tuple[str, float]
"""A token, and for how many seconds more it may be used."""


class TokenCache(Protocol):
    """Tokens by the name of account, client and scope."""

    async def get(self, name: str, /) -> CachedToken | float | None:
        """Return the token; None if the caller fetches one; or the seconds to wait for the pod that fetches one."""
        ...

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Store a new token for all pods."""
        ...

    async def invalidate(self, name: str, token: str) -> None:
        """Remove a rejected token if it is the current one; an empty token releases the right to fetch."""
        ...


class NoTokenCache:
    """Cache that stores nothing."""

    async def get(self, _name: str, /) -> CachedToken | float | None:
        """Return None: every caller fetches its own token."""
        return None

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Store nothing."""

    async def invalidate(self, name: str, token: str) -> None:
        """Do nothing."""


NO_TOKEN_CACHE = NoTokenCache()
