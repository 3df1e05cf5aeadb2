"""Shards of an installation, with the name of their store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from service.errors import Rejection
from service.management.audit_log import Actor, log_admin_change
from service.settings import Settings
from service.store import Store
from service.store.connection.address import urls_of
from service.store.connection.installation import InstallationRecord
from service.store.management.status import StoreInspector

ReplyT = TypeVar("ReplyT")


class NamedStore(Struct, frozen=True):
    """Shard with the name of its store: host, port and database, or the path of the socket; never a credential."""

    name: str
    store: Store

    @property
    def inspector(self) -> StoreInspector:
        """Inspector of the shard."""
        return StoreInspector(self.store.client, self.store.keys)


NamedStores = Sequence[NamedStore]


def name_stores(stores: Sequence[Store]) -> list[NamedStore]:
    """Return the shards with the name of their store."""
    return [NamedStore(store_name(store.settings), store) for store in stores]


async def read_shards(stores: NamedStores, read: Callable[[NamedStore], Awaitable[ReplyT]]) -> list[ReplyT]:
    """Read all shards at once. Return the replies in their order.

    Raises:
        StoreUnavailable: A server does not answer.
    """
    return await asyncio.gather(*map(read, stores))


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
    """Accept the data of the store, all shards, as those of an installation.

    `installation_id` is '' for WAYBILL_INSTALLATION_ID or, if that is empty, the id of the record. `store` is the name
    of the store, or None.

    Raises:
        Rejection: 422 `invalid_argument`: no such store, or no record and no id.
        StoreUnavailable: A server does not answer.
    """
    first, *rest = stores
    if store not in {None, first.name}:
        raise Rejection(422, "invalid_argument", f"No store {store!r}. The store is: {first.name}.")
    record, is_accepted = await _accept_shard(first, installation_id)
    # Each shard has the id of the first one.
    others = [await _accept_shard(named, record.id) for named in rest]
    is_accepted = is_accepted or any(accepted for _, accepted in others)
    if is_accepted:
        fields = {"installation_id": record.id, "generation": record.generation}
        log_admin_change(actor, "store.accepted", first.name, **fields)
    rulebook = await first.store.rulebook.version()
    return [AcceptedStore(first.name, record.id, record.generation, is_accepted, rulebook)]


async def _accept_shard(named: NamedStore, installation_id: str) -> tuple[InstallationRecord, bool]:
    """Return the record of a shard, and whether it was accepted now."""
    installation = named.store.installation
    try:
        accepted = await installation.accept(installation_id or named.store.settings.installation_id)
    except LookupError:
        detail = f"The store {named.name} has no installation record. Give the ID that the line store.lost names."
        raise Rejection(422, "invalid_argument", detail) from None
    record = accepted or await installation.record()
    if record is None:
        raise Rejection(422, "invalid_argument", f"The record of the store {named.name} cannot be read. Give an ID.")
    return record, accepted is not None


def store_name(settings: Settings) -> str:
    """Return the name of a store: its location without credentials."""
    url = urlsplit(urls_of(settings)[0])
    database = url.path.strip("/")
    if settings.redis_sentinel:
        return f"{settings.redis_sentinel_primary}/{database or 0}"
    if url.scheme == "unix":
        return url.path
    return f"{url.hostname}:{url.port or 6379}/{database or 0}"
