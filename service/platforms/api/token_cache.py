"""Where an OAuth2 token is kept so that all pods share it. Here only the shelf's shape, and one that keeps nothing.

The shelf that is shared is `service.store.platforms.token_cache`; without one, every process fetches a token of its
own.
"""

from typing import Protocol

CachedToken = tuple[str, float]
"""A token, and for how many seconds more it may be used."""


class TokenCache(Protocol):
    """Tokens by a name that stands for account, client and scope."""

    async def get(self, name: str, /) -> CachedToken | float | None:
        """Give the token; None if the caller is to fetch one, or how many seconds to wait for who is fetching it."""
        ...

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Put a fresh token there, for all."""
        ...

    async def invalidate(self, name: str, token: str) -> None:
        """Take away a token that was refused, if it is still that one; an empty one: the caller fetches none."""
        ...


class NoTokenCache:
    """Keeps nothing."""

    async def get(self, _name: str, /) -> CachedToken | float | None:
        """Every caller fetches its own."""
        return None

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Nothing is kept."""

    async def invalidate(self, name: str, token: str) -> None:
        """Nothing is there."""


NO_TOKEN_CACHE = NoTokenCache()
