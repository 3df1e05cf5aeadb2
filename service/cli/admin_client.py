"""Interface of both clients of an installation: `api_client` and `direct_client`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.events import JsonValue, RecordRef
from service.management.dry_run import Candidate, DryRun, RulebookComparison
from service.management.erasure import ErasureReport
from service.management.event_filter import EventFilter
from service.management.event_search import EventPage, MatchedPage
from service.management.event_view import EventView
from service.management.platform_reads import ReadView
from service.management.quarantine import Deleted, QuarantinedView, QuarantinePage, Reverified
from service.management.replay import BulkRequest, EventChange, EventChangePage
from service.management.rulebook import Publication, StoredRulebook
from service.management.status import PlatformView, PollView, SourceView, StoreView, WorkerView
from service.rules import Rule
from service.rules.publishing import Published


class AdminClient(Protocol):
    """Every method may raise Refusal, and StoreUnavailable or TransientError where nobody answers."""

    async def list_events(self, event_filter: EventFilter, limit: int, after: str | None) -> EventPage:
        """Give one page of events, newest first."""
        ...

    async def search_events(self, text: str, limit: int) -> MatchedPage:
        """Find events by an id of Waybill, a sender or a record."""
        ...

    async def get_event(self, event_id: str, *, raw: bool, dead_only: bool) -> EventView:
        """Show one event, or only a dead letter."""
        ...

    async def replay_event(self, event_id: str, *, again: bool, dry_run: bool) -> EventChange:
        """Put one event back."""
        ...

    async def replay_page(self, bulk: BulkRequest, *, again: bool) -> EventChangePage:
        """Put a page of events back."""
        ...

    async def discard_event(self, event_id: str, reason: str) -> EventChange:
        """End one dead letter for good."""
        ...

    async def discard_page(self, bulk: BulkRequest, reason: str) -> EventChangePage:
        """End a page of dead letters for good."""
        ...

    async def list_quarantine(self, source: str | None, limit: int, after: str | None) -> QuarantinePage:
        """Give one page of refused deliveries, newest first."""
        ...

    async def get_quarantined(self, quarantined_id: str, *, raw: bool) -> QuarantinedView:
        """Show one refused delivery."""
        ...

    async def reverify_quarantined(self, quarantined_id: str) -> Reverified:
        """Judge one again, and change nothing."""
        ...

    async def release_quarantined(self, quarantined_id: str) -> Reverified:
        """Take one in, if it is good now."""
        ...

    async def delete_quarantined(self, quarantined_id: str) -> Deleted:
        """Forget one."""
        ...

    async def list_sources(self) -> Sequence[SourceView]:
        """List the configured sources."""
        ...

    async def list_platforms(self) -> Sequence[PlatformView]:
        """List the configured platform accounts."""
        ...

    async def list_stores(self, *, weigh: bool) -> Sequence[StoreView]:
        """Tell how each store fares."""
        ...

    async def list_workers(self) -> Sequence[WorkerView]:
        """List the workers by their heartbeats."""
        ...

    async def list_polls(self) -> Sequence[PollView]:
        """Tell how the polls stand."""
        ...

    async def erase_customer(self, platform: str, customer_id: str, *, dry_run: bool) -> ErasureReport:
        """Erase a customer everywhere, or count what that would erase."""
        ...

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """List what a platform account can be asked."""
        ...

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """Ask a platform for one thing or one page of a list."""
        ...

    async def get_rulebook(self, version: str | None) -> StoredRulebook:
        """Give one version of the rules, by default the one in force."""
        ...

    async def list_publications(self) -> Sequence[Publication]:
        """List what was put in force, newest first."""
        ...

    async def apply_rules(self, rules: Sequence[Rule], author: str | None, note: str) -> Published:
        """Replace the rules of files."""
        ...

    async def rollback_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """Put a former version in force again."""
        ...

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """Judge a stored event's record without acting."""
        ...

    async def dry_run_record(self, candidate: Candidate, ref: RecordRef) -> DryRun:
        """Judge a record without acting."""
        ...

    async def compare_rules(self, candidate: Candidate, events: int) -> RulebookComparison:
        """Judge the last stored events by a candidate and by the rules in force."""
        ...
