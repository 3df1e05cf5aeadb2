"""Stores of an installation by name. Lists over several stores name the store of each item."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from service.settings import Settings
from service.store import Store
from service.store.management.status import StoreInspector


class NamedStore(Struct, frozen=True):
    """Store with its name: host, port and database, or the path of the socket; never a credential."""

    name: str
    store: Store

    @property
    def inspector(self) -> StoreInspector:
        """Inspector of the store."""
        return StoreInspector(self.store.client, self.store.keys)


NamedStores = Sequence[NamedStore]


def name_stores(stores: Sequence[Store]) -> list[NamedStore]:
    """Return the stores with their names."""
    return [NamedStore(store_name(store.settings), store) for store in stores]


def store_name(settings: Settings) -> str:
    """Return the name of a store: its location without credentials."""
    url = urlsplit(settings.redis_url)
    database = url.path.strip("/")
    if settings.redis_sentinel:
        return f"{settings.redis_sentinel_primary}/{database or 0}"
    if url.scheme == "unix":
        return url.path
    return f"{url.hostname}:{url.port or 6379}/{database or 0}"
