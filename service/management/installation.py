"""Parts of an installation that management uses."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from service.actions import Action
from service.config import Config
from service.destinations.destination import Destination
from service.errors import Rejection
from service.ingestion.sources import Source
from service.management.audit_log import Actor
from service.management.stores import NamedStores, name_stores
from service.platforms import Platform
from service.records import RecordTypes
from service.store import Shards, Store

if TYPE_CHECKING:  # the HTTP client takes long to import, and most commands do not use it
    from service.sending.source_tester import SourceTester


def no_destinations() -> Mapping[str, Destination]:
    """Return no destinations: they are only needed for test calls.

    Raises:
        Rejection: 404 `not_found`, always.
    """
    raise Rejection(404, "not_found", "This process sends no test requests. Run waybill destinations test.")


def no_source_tester() -> "SourceTester":
    """Return no sender of test deliveries: only the service sends them to itself.

    Raises:
        Rejection: 404 `not_found`, always.
    """
    raise Rejection(404, "not_found", "This process sends no test deliveries. Run waybill send.")


class Installation(Struct, frozen=True, kw_only=True):
    """Stores, configuration, platforms, sources, destinations, actions and types of records of an installation.

    Each part is a function, called on use, because most operations need few parts. `is_configured` is False without a
    waybill.yaml; event search and erasure work without one.
    """

    open_store: Callable[[], Shards]
    config: Callable[[], Config]
    platforms: Callable[[], Mapping[str, Platform]]
    sources: Callable[[], Mapping[str, Source]]
    actions: Callable[[], Sequence[type[Action]]]
    records: Callable[[], RecordTypes]
    destinations: Callable[[], Mapping[str, Destination]] = no_destinations
    source_tester: "Callable[[], SourceTester]" = no_source_tester
    is_configured: bool = True

    @property
    def stores(self) -> Sequence[Store]:
        """Shards. The first one holds the rulebook and the shared state of platform accounts.

        Raises:
            StoreUnavailable, StoreNotDurable: The store cannot be used.
        """
        return self.open_store().stores

    @property
    def named_stores(self) -> NamedStores:
        """Stores with their names.

        Raises:
            StoreUnavailable, StoreNotDurable: The store cannot be used.
        """
        return name_stores(self.stores)

    def store_of(self, lane: str) -> Store:
        """Return the store that holds a lane.

        Raises:
            StoreUnavailable, StoreNotDurable: The store cannot be used.
        """
        return self.open_store().of(lane)


class InstallationOperations:
    """Operations on an installation in the name of an actor. Base class of the operations of each area."""

    def __init__(self, installation: Installation, actor: Actor) -> None:
        self.installation = installation
        self.actor = actor

    @property
    def stores(self) -> NamedStores:
        """Stores of the installation, with their names."""
        return self.installation.named_stores
