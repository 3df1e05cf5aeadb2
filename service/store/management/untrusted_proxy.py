"""Address of a proxy that WAYBILL_TRUSTED_PROXIES does not name, for `waybill doctor`."""

from service.store.connection.client import Client
from service.store.keys import Keys

RETENTION_SECONDS = 86_400


class UntrustedProxy:
    """Proxy of one store through which a verified delivery came last. Expires after a day."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.named("untrusted_proxy")

    async def record(self, peer: str) -> None:
        """Store the address.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self._client.command("SET", self._key, peer, "EX", RETENTION_SECONDS)

    async def peer(self) -> str | None:
        """Return the address; None if there was no such delivery.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        stored: bytes | None = await self._client.command("GET", self._key)
        return stored.decode(errors="replace") if stored else None
