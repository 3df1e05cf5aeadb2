"""Stores of an installation by name. Lists over several stores name the store of each item."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from service.errors import Rejection
from service.management.audit_log import Actor, log_admin_change
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


class AcceptedStore(Struct, frozen=True):
    """Result of accepting a store: its installation record, and whether it was accepted now or before."""

    store: str
    installation_id: str
    generation: int
    accepted: bool
    rulebook: str | None


async def accept_stores(
    stores: NamedStores, actor: Actor, installation_id: str, store: str | None
) -> list[AcceptedStore]:
    """Accept the data of all stores, or of the `store` of that name, as those of an installation.

    `installation_id` is '' for WAYBILL_INSTALLATION_ID or, if that is empty, the id of each store's record.

    Raises:
        Rejection: 422 `invalid_argument`: no such store, an id for several stores, or no record and no id.
        StoreUnavailable: A store does not answer.
    """
    chosen = [named for named in stores if store in {None, named.name}]
    if not chosen:
        names = ", ".join(named.name for named in stores)
        raise Rejection(422, "invalid_argument", f"No store {store!r}. The stores are: {names}.")
    if installation_id and len(chosen) > 1:
        # Each store can have an id of its own.
        raise Rejection(422, "invalid_argument", "There are several stores. Name the one with that id by --store.")
    return [await _accept_store(named, actor, installation_id) for named in chosen]


async def _accept_store(named: NamedStore, actor: Actor, installation_id: str) -> AcceptedStore:
    installation = named.store.installation
    try:
        accepted = await installation.accept(installation_id or named.store.settings.installation_id)
    except LookupError:
        detail = f"The store {named.name} has no installation record. Give the ID that the line store.lost names."
        raise Rejection(422, "invalid_argument", detail) from None
    record = accepted or await installation.record()
    if record is None:
        raise Rejection(422, "invalid_argument", f"The record of the store {named.name} cannot be read. Give an ID.")
    if accepted is not None:
        fields = {"installation_id": record.id, "generation": record.generation}
        log_admin_change(actor, "store.accepted", named.name, **fields)
    rulebook = await named.store.rulebook.version()
    return AcceptedStore(named.name, record.id, record.generation, accepted is not None, rulebook)


def store_name(settings: Settings) -> str:
    """Return the name of a store: its location without credentials."""
    url = urlsplit(settings.redis_url)
    database = url.path.strip("/")
    if settings.redis_sentinel:
        return f"{settings.redis_sentinel_primary}/{database or 0}"
    if url.scheme == "unix":
        return url.path
    return f"{url.hostname}:{url.port or 6379}/{database or 0}"
