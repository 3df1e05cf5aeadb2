"""Dependencies of the admin API's controllers, and how much of an event a caller may see."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation
from msgspec import Struct

from service.actions import Action
from service.config import AdminConfig, PlatformConfig, SourceConfig
from service.errors import Rejection
from service.ingestion.sources import Source
from service.management.audit_log import Actor
from service.management.event_view import Visibility
from service.management.stores import NamedStore, name_stores
from service.platforms import Platform
from service.settings import Settings
from service.store import Shards, Store

RawParameter = Annotated[bool, QueryParameter(description="bodies and inputs as they are; takes the role admin")]


class LazyStore(Protocol):
    """A store that may come later than the process, such as LateStore."""

    @property
    def opened(self) -> Store | Shards:
        """The open store.

        Raises:
            StoreUnavailable, StoreUnsafe: there is none to work on.
        """
        ...


class AdminDependencies(Struct, frozen=True, kw_only=True):
    """Everything a controller may use. `environ` is where the digests of tokens are looked up, once."""

    settings: Settings
    admin: AdminConfig
    environ: Mapping[str, str]
    late_store: LazyStore
    platforms: Mapping[str, Platform]
    sources: Mapping[str, Source]
    actions: Sequence[type[Action]]
    source_configs: Mapping[str, SourceConfig] = {}
    platform_configs: Mapping[str, PlatformConfig] = {}

    @property
    def stores(self) -> Sequence[Store]:
        """Every store of the installation, mostly one.

        Raises:
            StoreUnavailable, StoreUnsafe: there is none to work on.
        """
        opened = self.late_store.opened
        return opened.stores if isinstance(opened, Shards) else (opened,)

    @property
    def named_stores(self) -> Sequence[NamedStore]:
        """Every store with its name.

        Raises:
            StoreUnavailable, StoreUnsafe: there is none to work on.
        """
        return name_stores(self.stores)

    @property
    def store(self) -> Store:
        """The first store, which holds what there is only one of: the rulebook."""
        return self.stores[0]

    def store_of(self, lane: str) -> Store:
        """The store that holds a lane."""
        opened = self.late_store.opened
        return opened.of(lane) if isinstance(opened, Shards) else opened


Dependencies = NamedDependency[SkipValidation[AdminDependencies]]
"""A route's parameter `parts: Parts` is given the parts."""

Caller = NamedDependency[SkipValidation[Actor]]
"""A route's parameter `caller: Caller` is given who calls."""


def visibility_for(caller: Actor, *, raw: bool) -> Visibility:
    """Give what a caller may see.

    Raises:
        Rejection: 403 `permission_denied`.
    """
    if raw and caller.role != "admin":
        raise Rejection(403, "permission_denied", f"Raw bodies take the role admin; {caller.name} is {caller.role}.")
    if raw:
        return "raw"
    return "outline" if caller.role == "viewer" else "redacted"
