"""Client of an installation that uses its stores directly.

The configuration is only read when a command needs it.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from service.actions import load_actions
from service.config import Config
from service.events import JsonValue, RecordRef
from service.http_client import HttpClient
from service.ingestion.event_store import EventStore
from service.ingestion.sources import Source, build_sources
from service.management.audit_log import Actor
from service.management.dry_run import Candidate, DryRun, DryRunner, RulebookComparison
from service.management.erasure import ErasureReport, erase_customer, erasure_target
from service.management.event_filter import EventFilter
from service.management.event_search import EventPage, MatchedPage, list_events, search_events
from service.management.event_view import EventView, Visibility, get_event
from service.management.platform_reads import ReadView, list_reads, read_platform
from service.management.quarantine import (
    Deleted,
    QuarantinedView,
    QuarantinePage,
    Reverified,
    delete_quarantined,
    get_quarantined,
    list_quarantine,
    release_quarantined,
    reverify_quarantined,
)
from service.management.replay import (
    BulkRequest,
    EventChange,
    EventChangePage,
    discard_event,
    discard_page,
    replay_event,
    replay_page,
)
from service.management.rulebook import (
    Publication,
    StoredRulebook,
    apply_rules,
    get_rulebook,
    list_publications,
    rollback_rulebook,
)
from service.management.status import (
    PlatformView,
    PollView,
    SourceView,
    StoreView,
    WorkerView,
    list_platforms,
    list_polls,
    list_sources,
    list_stores,
    list_workers,
)
from service.management.stores import NamedStores
from service.platforms import Platform
from service.platforms.api.shared_throttle import SharedThrottles
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.rules import Rule
from service.rules.publishing import Published
from service.settings import Settings
from service.store import Shards, Store


class DirectClient:
    """A Desk on open stores; `operator` is who sits there. Built platforms are asked nothing here."""

    def __init__(  # noqa: PLR0917 - the parts it stands on
        self,
        settings: Settings,
        environ: dict[str, str],
        places: NamedStores,
        store: EventStore,
        outbound: HttpClient,
        operator: Actor,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._places = places
        self._store = store
        self._outbound = outbound
        self._operator = operator

    @cached_property
    def _config(self) -> Config:
        return load_config(Path(self._settings.config), self._environ)

    @cached_property
    def _platforms(self) -> dict[str, Platform]:
        shared = self._places[0].store
        throttles = SharedThrottles(shared.limits, shared.tokens, self._settings.fetch_timeout_seconds)
        return build_platforms(self._config.platforms, self._environ, self._outbound, throttles)

    @cached_property
    def _sources(self) -> dict[str, Source]:
        return build_sources(self._config, self._environ, self._platforms, self._settings)

    @property
    def _laboratory(self) -> DryRunner:
        return DryRunner(self._places, self._store_of, self._platforms, load_actions())

    def _store_of(self, lane: str) -> Store:
        return self._store.of(lane) if isinstance(self._store, Shards) else self._places[0].store

    @property
    def _configured(self) -> bool:
        return Path(self._settings.config).exists()

    async def list_events(self, event_filter: EventFilter, limit: int, after: str | None) -> EventPage:
        """See Desk."""
        return await list_events(self._places, event_filter, limit, after)

    async def search_events(self, text: str, limit: int) -> MatchedPage:
        """See Desk; without waybill.yaml no sender's id is known."""
        return await search_events(self._places, self._sources if self._configured else {}, text, limit)

    async def get_event(self, event_id: str, *, raw: bool, dead_only: bool) -> EventView:
        """See Desk."""
        return await get_event(self._places, event_id, _sight(raw=raw), dead_only=dead_only)

    async def replay_event(self, event_id: str, *, again: bool, dry_run: bool) -> EventChange:
        """See Desk."""
        return await replay_event(self._places, self._operator, event_id, rerun_done=again, dry_run=dry_run)

    async def replay_page(self, bulk: BulkRequest, *, again: bool) -> EventChangePage:
        """See Desk."""
        return await replay_page(self._places, self._operator, bulk, rerun_done=again)

    async def discard_event(self, event_id: str, reason: str) -> EventChange:
        """See Desk."""
        return await discard_event(self._places, self._operator, event_id, reason)

    async def discard_page(self, bulk: BulkRequest, reason: str) -> EventChangePage:
        """See Desk."""
        return await discard_page(self._places, self._operator, bulk, reason)

    async def list_quarantine(self, source: str | None, limit: int, after: str | None) -> QuarantinePage:
        """See Desk."""
        return await list_quarantine(self._places, source, limit, after)

    async def get_quarantined(self, quarantined_id: str, *, raw: bool) -> QuarantinedView:
        """See Desk."""
        return await get_quarantined(self._places, quarantined_id, _sight(raw=raw))

    async def reverify_quarantined(self, quarantined_id: str) -> Reverified:
        """See Desk."""
        return await reverify_quarantined(self._places, quarantined_id, self._sources)

    async def release_quarantined(self, quarantined_id: str) -> Reverified:
        """See Desk."""
        return await release_quarantined(self._places, self._operator, quarantined_id, self._sources, self._store)

    async def delete_quarantined(self, quarantined_id: str) -> Deleted:
        """See Desk."""
        return await delete_quarantined(self._places, self._operator, quarantined_id)

    async def list_sources(self) -> Sequence[SourceView]:
        """See Desk."""
        return await list_sources(self._places, self._sources, self._config.sources)

    async def list_platforms(self) -> Sequence[PlatformView]:
        """See Desk."""
        return await list_platforms(self._places, self._config.platforms, self._config.sources)

    async def list_stores(self, *, weigh: bool) -> Sequence[StoreView]:
        """See Desk."""
        return await list_stores(self._places, weigh=weigh)

    async def list_workers(self) -> Sequence[WorkerView]:
        """See Desk."""
        return await list_workers(self._places)

    async def list_polls(self) -> Sequence[PollView]:
        """See Desk."""
        return await list_polls(self._places, self._config.sources)

    async def erase_customer(self, platform: str, customer_id: str, *, dry_run: bool) -> ErasureReport:
        """See Desk; without waybill.yaml the whole quarantine is looked through."""
        config = self._config if self._configured else None
        sources, accounts = (config.sources, config.platforms) if config else (None, ())
        customer = erasure_target(platform, customer_id, sources, accounts)
        return await erase_customer(self._places, self._operator, customer, dry_run=dry_run)

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See Desk."""
        return list_reads(self._config.platforms, account)

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """See Desk."""
        return await read_platform(
            self._config.platforms, self._platforms, account, operation, arguments, sight=_sight(raw=raw)
        )

    async def get_rulebook(self, version: str | None) -> StoredRulebook:
        """See Desk."""
        return await get_rulebook(self._places, version)

    async def list_publications(self) -> Sequence[Publication]:
        """See Desk."""
        return await list_publications(self._places)

    async def apply_rules(self, rules: Sequence[Rule], author: str | None, note: str) -> Published:
        """See Desk."""
        author = author or self._operator.name
        return await apply_rules(self._places, self._operator, rules, load_actions(), author=author, note=note)

    async def rollback_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """See Desk."""
        author = author or self._operator.name
        return await rollback_rulebook(self._places, self._operator, version, load_actions(), author=author, note=note)

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """See Desk."""
        return await self._laboratory.dry_run_event(candidate, event_id)

    async def dry_run_record(self, candidate: Candidate, ref: RecordRef) -> DryRun:
        """See Desk."""
        return await self._laboratory.dry_run_record(candidate, ref)

    async def compare_rules(self, candidate: Candidate, events: int) -> RulebookComparison:
        """See Desk."""
        return await self._laboratory.compare(candidate, events)


def _sight(*, raw: bool) -> Visibility:
    """Whoever reaches the store could read it all; yet personal data is only shown where it is asked for."""
    return "raw" if raw else "redacted"
