"""Management operations of an installation, called by the admin API and by commands that use the stores directly."""

from collections.abc import Mapping, Sequence

from service.events import ChangeType, RecordRef
from service.ingestion.sources import Source
from service.management import (
    dry_run,
    erasure,
    event_search,
    event_view,
    quarantine,
    replay,
    rulebook,
    status,
)
from service.management.audit_log import Actor
from service.management.event_filter import EventFilter
from service.management.installation import Installation
from service.management.stores import NamedStores
from service.rules import Rule
from service.rules.publishing import Published


class AdminOperations:
    """Operations on an installation in the name of an actor.

    Every operation may raise Rejection, ConfigError, StoreUnavailable and StoreNotDurable. Dry runs fetch a record, and
    may raise TransientError, PermanentError and Deferred.
    """

    def __init__(self, installation: Installation, actor: Actor) -> None:
        self.installation = installation
        self.actor = actor

    @property
    def _stores(self) -> NamedStores:
        return self.installation.named_stores

    @property
    def dry_runner(self) -> dry_run.DryRunner:
        """Dry runs on the stores and platforms of the installation."""
        parts = self.installation
        return dry_run.DryRunner(parts.named_stores, parts.store_of, parts.platforms(), parts.actions())

    async def list_events(self, event_filter: EventFilter, limit: int, after: str | None) -> event_search.EventPage:
        """Return one page of events, newest first."""
        return await event_search.list_events(self._stores, event_filter, limit, after)

    async def search_events(self, text: str, limit: int) -> event_search.MatchedPage:
        """Find events by id, by the sender's id, or by record. The sender's id needs a configuration."""
        sources: Mapping[str, Source] = self.installation.sources() if self.installation.is_configured else {}
        return await event_search.search_events(self._stores, sources, text, limit)

    async def get_event(self, event_id: str, *, raw: bool, dead_only: bool = False) -> event_view.EventView:
        """Return one event; with `dead_only`, only if the event is a dead letter."""
        visibility = event_view.visibility_of(self.actor, raw=raw)
        return await event_view.get_event(self._stores, event_id, visibility, dead_only=dead_only)

    async def replay_event(self, event_id: str, *, rerun_done: bool, dry_run: bool) -> replay.EventChange:
        """Replay one event."""
        return await replay.replay_event(self._stores, self.actor, event_id, rerun_done=rerun_done, dry_run=dry_run)

    async def replay_page(self, bulk: replay.BulkRequest, *, rerun_done: bool) -> replay.EventChangePage:
        """Replay a page of events."""
        return await replay.replay_page(self._stores, self.actor, bulk, rerun_done=rerun_done)

    async def discard_event(self, event_id: str, reason: str) -> replay.EventChange:
        """Discard one dead letter."""
        return await replay.discard_event(self._stores, self.actor, event_id, reason)

    async def discard_page(self, bulk: replay.BulkRequest, reason: str) -> replay.EventChangePage:
        """Discard a page of dead letters."""
        return await replay.discard_page(self._stores, self.actor, bulk, reason)

    async def list_quarantine(self, source: str | None, limit: int, after: str | None) -> quarantine.QuarantinePage:
        """Return one page of quarantined deliveries, newest first."""
        return await quarantine.list_quarantine(self._stores, source, limit, after)

    async def get_quarantined(self, quarantined_id: str, *, raw: bool) -> quarantine.QuarantinedView:
        """Return one quarantined delivery."""
        visibility = event_view.visibility_of(self.actor, raw=raw)
        return await quarantine.get_quarantined(self._stores, quarantined_id, visibility)

    async def reverify_quarantined(self, quarantined_id: str) -> quarantine.Reverified:
        """Reverify one quarantined delivery. Changes nothing."""
        return await quarantine.reverify_quarantined(self._stores, quarantined_id, self.installation.sources())

    async def release_quarantined(self, quarantined_id: str) -> quarantine.Reverified:
        """Ingest one quarantined delivery if it verifies now."""
        sources, store = self.installation.sources(), self.installation.open_store()
        return await quarantine.release_quarantined(self._stores, self.actor, quarantined_id, sources, store)

    async def delete_quarantined(self, quarantined_id: str) -> quarantine.Deleted:
        """Delete one quarantined delivery."""
        return await quarantine.delete_quarantined(self._stores, self.actor, quarantined_id)

    async def list_sources(self) -> Sequence[status.SourceView]:
        """List the configured sources."""
        configs = self.installation.config().sources
        return await status.list_sources(self._stores, self.installation.sources(), configs)

    async def list_platforms(self) -> Sequence[status.PlatformView]:
        """List the configured platform accounts."""
        config = self.installation.config()
        return await status.list_platforms(self._stores, config.platforms, config.sources)

    async def list_stores(self, *, memory: bool) -> Sequence[status.StoreView]:
        """List the stores; with `memory`, with the memory usage of each kind of key."""
        return await status.list_stores(self._stores, memory=memory)

    async def list_workers(self) -> Sequence[status.WorkerView]:
        """List the workers by their heartbeats."""
        return await status.list_workers(self._stores)

    async def list_polls(self) -> Sequence[status.PollView]:
        """List the polls."""
        return await status.list_polls(self._stores, self.installation.config().sources)

    async def erase_customer(self, platform: str, customer_id: str, *, dry_run: bool) -> erasure.ErasureReport:
        """Erase a customer, or count what an erasure would remove. Without a configuration all sources are searched."""
        config = self.installation.config() if self.installation.is_configured else None
        sources, accounts = (config.sources, config.platforms) if config else (None, ())
        customer = erasure.erasure_target(platform, customer_id, sources, accounts)
        return await erasure.erase_customer(self._stores, self.actor, customer, dry_run=dry_run)

    async def get_rulebook(self, version: str | None) -> rulebook.StoredRulebook:
        """Return one version of the rulebook, by default the active one."""
        return await rulebook.get_rulebook(self._stores, version)

    async def list_publications(self) -> Sequence[rulebook.Publication]:
        """List the activations of rulebook versions, newest first."""
        return await rulebook.list_publications(self._stores)

    async def apply_rules(self, rules: Sequence[Rule], author: str | None, note: str) -> Published:
        """Replace the rules of files. The author is the actor unless `author` is given."""
        author = author or self.actor.name
        actions = self.installation.actions()
        return await rulebook.apply_rules(self._stores, self.actor, rules, actions, author=author, note=note)

    async def rollback_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """Activate an earlier version of the rulebook. The author is the actor unless `author` is given."""
        author = author or self.actor.name
        actions = self.installation.actions()
        return await rulebook.rollback_rulebook(self._stores, self.actor, version, actions, author=author, note=note)

    async def dry_run_event(self, candidate: dry_run.Candidate, event_id: str) -> dry_run.DryRun:
        """Evaluate rules on the record of a stored event, without effects."""
        return await self.dry_runner.dry_run_event(candidate, event_id)

    async def dry_run_record(
        self, candidate: dry_run.Candidate, ref: RecordRef, change: ChangeType = "updated", source: str = ""
    ) -> dry_run.DryRun:
        """Evaluate rules on a record as if `source` had sent an event about it, without effects."""
        return await self.dry_runner.dry_run_record(candidate, ref, change, source)

    async def compare_rules(self, candidate: dry_run.Candidate, events: int) -> dry_run.RulebookComparison:
        """Evaluate the newest stored events by a candidate and by the active rules."""
        return await self.dry_runner.compare(candidate, events)
