"""Reads and accepts the installation record of a store."""

from service.settings import Settings
from service.store.connection.client import Client
from service.store.connection.installation import InstallationRecord, parse_installation
from service.store.keys import Keys
from service.store.scripts import ACCEPT_INSTALLATION

CALL_SECONDS_MAX = 5.0


class InstallationStore:
    """Installation record of one store."""

    def __init__(self, client: Client, keys: Keys, settings: Settings) -> None:
        self._client = client
        self._keys = keys
        self._shards = settings.shards

    async def record(self) -> InstallationRecord | None:
        """Return the record; None if there is none, or if it cannot be read.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        stored: bytes | None = await self._client.command("GET", self._keys.named("install"))
        return parse_installation(stored) if stored else None

    async def accept(self, installation_id: str) -> InstallationRecord | None:
        """Accept the data of the store as those of `installation_id`, or '' for the id of the record.

        Returns:
            The new record; None if the store was accepted already.

        Raises:
            StoreUnavailable: The store does not answer.
            LookupError: The store has no record, and no id is given.
        """
        # Not repeated after a lost reply: the generation would rise again. The operator can repeat the call.
        arguments = (installation_id, self._shards)
        reply: bytes | None = await self._client.call(ACCEPT_INSTALLATION, arguments, seconds_max=0)
        if reply is None:
            raise LookupError
        return parse_installation(reply)
