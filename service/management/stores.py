"""The stores of an installation by name, so that a list over several can say which one holds what."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from service.settings import Settings
from service.store import Store
from service.store.management.status import StoreInspector


class NamedStore(Struct, frozen=True):
    """One store and its name: host and port and database, or the socket's path; never a credential."""

    name: str
    store: Store

    @property
    def overview(self) -> StoreInspector:
        """What is to be seen of the store itself."""
        return StoreInspector(self.store.client, self.store.keys)


NamedStores = Sequence[NamedStore]


def name_stores(stores: Sequence[Store]) -> list[NamedStore]:
    """Name the stores."""
    return [NamedStore(store_name(store.settings), store) for store in stores]


def store_name(settings: Settings) -> str:
    """Say where a store is."""
    url = urlsplit(settings.redis_url)
    database = url.path.strip("/")
    if settings.redis_sentinel:
        return f"{settings.redis_sentinel_primary}/{database or 0}"
    if url.scheme == "unix":
        return url.path
    return f"{url.hostname}:{url.port or 6379}/{database or 0}"
