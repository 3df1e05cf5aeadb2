"""Encryption of OAuth2 tokens in the token cache, with a key from the client secret.

A process that knows the client secret can fetch a token anyway. A copy of the store without the secret reveals none.
"""

import contextlib
import hashlib
from base64 import b64decode, b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from service.platforms.api.token_cache import TokenCache


class SealedTokenCache:
    """Token cache that stores each token encrypted by AES-SIV (RFC 5297), in Base64.

    The encryption is deterministic, so that a rejected token can be compared with the stored one. `secret` is the
    client secret.
    """

    def __init__(self, cache: TokenCache, secret: str) -> None:
        self._cache = cache
        self._cipher = AESSIV(hashlib.sha512(b"waybill token cache\0" + secret.encode()).digest())

    async def get(self, name: str, /) -> tuple[str, float] | float | None:
        """Get a token as `TokenCache.get`. A text that cannot be decrypted counts as no token."""
        found = await self._cache.get(name)
        if not isinstance(found, tuple):
            return found
        with contextlib.suppress(InvalidTag, ValueError):
            return self._cipher.decrypt(b64decode(found[0], validate=True), [name.encode()]).decode(), found[1]
        return None

    async def put(self, name: str, token: str, seconds: float) -> None:
        """Store a new token for all pods."""
        await self._cache.put(name, self._seal(name, token), seconds)

    async def invalidate(self, name: str, token: str) -> None:
        """Remove a rejected token, or with an empty `token` release the right to fetch."""
        await self._cache.invalidate(name, self._seal(name, token) if token else "")

    def _seal(self, name: str, token: str) -> str:
        return b64encode(self._cipher.encrypt(token.encode(), [name.encode()])).decode()
