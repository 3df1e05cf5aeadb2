"""HTTP client of the admin API, with the methods of `AdminOperations` and `PlatformOperations`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs

from service.cli.api_responses import PublicationPage, RulebookResponse
from service.cli.api_transport import AdminApiTransport, segment_of
from service.destinations.destination import Probe
from service.errors import Rejection
from service.events import JsonValue, RecordRef
from service.management.circuits import CircuitView
from service.management.destinations import DestinationDetails, DestinationView
from service.management.dry_run import Candidate, RulebookComparison
from service.management.dry_run_result import DryRun
from service.management.erasure import ErasureReport
from service.management.event_filter import EventFilter
from service.management.event_search import EventPage, MatchedPage
from service.management.event_view import EventView
from service.management.explanation import Explanation
from service.management.live import LiveBatch
from service.management.overview import InstallationOverview
from service.management.platform_operations import ReadView, WriteView, Wrote
from service.management.quarantine import Deleted, Diagnosed, QuarantinedView, QuarantinePage, Reverified
from service.management.replay import BulkRequest, EventChange, EventChangePage
from service.management.rule_statistics import RuleStatisticsReport
from service.management.rulebook import Publication, StoredRulebook
from service.management.status import PollView, SourceView, StoreView, WorkerView
from service.rules import Rule
from service.rules.publishing import Published
from service.rules.rulebook_document import FORMAT, Document

PUBLICATIONS_PER_PAGE = 200


class AdminApiClient(AdminApiTransport):
    """Client of the admin API at `url`, which may end with /api/v1.

    Every method may raise Rejection, with the status and code of the response, and TransientError.
    """

    async def list_events(self, event_filter: EventFilter, limit: int, after: str | None) -> EventPage:
        """Return one page of events, newest first."""
        return await self._get("/events", EventPage, **structs.asdict(event_filter), limit=limit, after=after)

    async def search_events(self, text: str, limit: int) -> MatchedPage:
        """Find events by id, by the sender's id, or by record."""
        return await self._get("/events/search", MatchedPage, text=text, limit=limit)

    async def read_live(self, event_filter: EventFilter, after: str | None) -> LiveBatch:
        """Return the events of the live view after a position."""
        return await self._get("/live/batch", LiveBatch, **structs.asdict(event_filter), after=after)

    async def get_overview(self) -> InstallationOverview:
        """Return the overview of the installation."""
        return await self._get("/overview", InstallationOverview)

    async def get_event(self, event_id: str, *, raw: bool, dead_only: bool) -> EventView:
        """Return one event; with `dead_only`, only if the event is a dead letter."""
        return await self._get(
            f"/{_collection(dead_only=dead_only)}/{segment_of(event_id)}", EventView, raw=raw or None
        )

    async def explain_event(self, event_id: str, *, raw: bool) -> Explanation:
        """Return the explanation of an event."""
        return await self._get(f"/events/{segment_of(event_id)}/explanation", Explanation, raw=raw or None)

    async def replay_event(self, event_id: str, *, rerun_done: bool, dry_run: bool) -> EventChange:
        """Replay one event."""
        options = {"rerun_done": rerun_done, "dry_run": dry_run}
        return await self._post(f"/events/{segment_of(event_id)}/replay", EventChange, options)

    async def replay_page(self, bulk: BulkRequest, *, rerun_done: bool) -> EventChangePage:
        """Replay a page of events."""
        return await self._post("/events/replay", EventChangePage, structs.asdict(bulk) | {"rerun_done": rerun_done})

    async def discard_event(self, event_id: str, reason: str) -> EventChange:
        """Discard one dead letter."""
        return await self._post(f"/dead-letters/{segment_of(event_id)}/discard", EventChange, {"reason": reason})

    async def discard_page(self, bulk: BulkRequest, reason: str) -> EventChangePage:
        """Discard a page of dead letters."""
        return await self._post("/dead-letters/discard", EventChangePage, structs.asdict(bulk) | {"reason": reason})

    async def rule_statistics(self, events_max: int) -> RuleStatisticsReport:
        """Return the results of each rule over the newest events."""
        return await self._get("/rulebook/statistics", RuleStatisticsReport, events=events_max)

    async def list_quarantine(self, source: str | None, limit: int, after: str | None) -> QuarantinePage:
        """Return one page of quarantined deliveries, newest first."""
        return await self._get("/quarantine", QuarantinePage, source=source, limit=limit, after=after)

    async def get_quarantined(self, quarantined_id: str, *, raw: bool) -> QuarantinedView:
        """Return one quarantined delivery."""
        return await self._get(f"/quarantine/{segment_of(quarantined_id)}", QuarantinedView, raw=raw or None)

    async def reverify_quarantined(self, quarantined_id: str) -> Reverified:
        """Reverify one quarantined delivery. Changes nothing."""
        return await self._post(f"/quarantine/{segment_of(quarantined_id)}/reverify", Reverified)

    async def diagnose_quarantined(self, quarantined_id: str) -> Diagnosed:
        """Find the schemes that verify one quarantined delivery."""
        return await self._post(f"/quarantine/{segment_of(quarantined_id)}/diagnose", Diagnosed)

    async def release_quarantined(self, quarantined_id: str) -> Reverified:
        """Ingest one quarantined delivery if it verifies now."""
        return await self._post(f"/quarantine/{segment_of(quarantined_id)}/release", Reverified)

    async def delete_quarantined(self, quarantined_id: str) -> Deleted:
        """Delete one quarantined delivery."""
        return await self._call("DELETE", f"/quarantine/{segment_of(quarantined_id)}", None, Deleted)

    async def list_sources(self) -> Sequence[SourceView]:
        """List the configured sources."""
        return await self._get("/sources", list[SourceView])

    async def list_stores(self, *, memory: bool) -> Sequence[StoreView]:
        """List the stores; with `memory`, with the memory usage of each kind of key."""
        return await self._get("/stores", list[StoreView], memory=memory or None)

    async def list_workers(self) -> Sequence[WorkerView]:
        """List the workers by their heartbeats."""
        return await self._get("/workers", list[WorkerView])

    async def list_polls(self) -> Sequence[PollView]:
        """List the polls."""
        return await self._get("/polls", list[PollView])

    async def erase_customer(self, record: str, *, dry_run: bool) -> ErasureReport:
        """Erase a customer, or count the items in a dry run."""
        request = {"record": record, "dry_run": dry_run}
        return await self._post("/erasures", ErasureReport, request)

    async def list_circuits(self) -> Sequence[CircuitView]:
        """List the platform accounts with their circuits."""
        return await self._get("/circuits", list[CircuitView])

    async def pause_account(self, account: str) -> CircuitView:
        """Open the circuit of an account until it is resumed."""
        return await self._post(f"/circuits/{segment_of(account)}/pause", CircuitView, {})

    async def resume_account(self, account: str) -> CircuitView:
        """Close the circuit of an account."""
        return await self._post(f"/circuits/{segment_of(account)}/resume", CircuitView, {})

    async def list_destinations(self) -> Sequence[DestinationView]:
        """List the destinations with their circuits."""
        return await self._get("/destinations", list[DestinationView])

    async def get_destination(self, name: str) -> DestinationDetails:
        """Return one destination with its configuration."""
        return await self._get(f"/destinations/{segment_of(name)}", DestinationDetails)

    async def pause_destination(self, name: str) -> DestinationView:
        """Open the circuit of a destination until it is resumed."""
        return await self._post(f"/destinations/{segment_of(name)}/pause", DestinationView, {})

    async def resume_destination(self, name: str) -> DestinationView:
        """Close the circuit of a destination."""
        return await self._post(f"/destinations/{segment_of(name)}/resume", DestinationView, {})

    async def test_destination(self, name: str, method: str, path: str) -> Probe:
        """Send a test request to a destination."""
        return await self._post(f"/destinations/{segment_of(name)}/test", Probe, {"method": method, "path": path})

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """List the read operations of a platform account."""
        return await self._get(f"/platforms/{segment_of(account)}/reads", list[ReadView])

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """Read one item or one page of a list from a platform."""
        path = f"/platforms/{segment_of(account)}/reads/{segment_of(operation)}"
        return await self._get(path, object, **arguments, raw=raw or None)

    async def list_writes(self, account: str) -> Sequence[WriteView]:
        """List the write operations of a platform account."""
        return await self._get(f"/platforms/{segment_of(account)}/writes", list[WriteView])

    async def write_platform(
        self, account: str, operation: str, ids: Mapping[str, str], body: bytes | None, *, raw: bool
    ) -> Wrote:
        """Run one write operation once; `body` is JSON.

        Raises:
            Rejection: 422 `invalid`: the body is not a JSON object.
        """
        try:
            payload = None if body is None else msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejection(422, "invalid", f"the body: {error}") from error
        path = f"/platforms/{segment_of(account)}/writes/{segment_of(operation)}" + ("?raw=true" if raw else "")
        return await self._post(path, Wrote, {"ids": ids, "body": payload})

    async def get_rulebook(self, version: str | None) -> StoredRulebook:
        """Return one version of the rulebook, by default the active one."""
        found = await self._get(
            f"/rulebook/versions/{segment_of(version)}" if version else "/rulebook", RulebookResponse
        )
        files, api = (
            tuple(rule.without_origin() for rule in found.rules if rule.origin == origin) for origin in ("file", "api")
        )
        return StoredRulebook(found.version, Document(format=FORMAT, file_rules=files, api_rules=api))

    async def list_publications(self) -> Sequence[Publication]:
        """List the activations of rulebook versions, newest first."""
        found: list[Publication] = []
        after: str | None = None
        while True:
            path = "/rulebook/versions"
            page = await self._get(path, PublicationPage, limit=PUBLICATIONS_PER_PAGE, after=after)
            found += page.items
            after = page.next
            if after is None:
                return found

    async def apply_rules(
        self, rules: Sequence[Rule], author: str | None, note: str, expected: str | None = None
    ) -> Published:
        """Replace the rules of files, if `expected` is active. The author is the name of the token."""
        _reject_author(author)
        return await self._put("/rulebook/files", Published, {"rules": rules, "note": note}, expected)

    async def rollback_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """Activate an earlier version of the rulebook. The author is the name of the token."""
        _reject_author(author)
        before = (await self.get_rulebook(None)).version
        rolled_back = await self._post("/rulebook/rollback", RulebookResponse, {"version": version, "note": note})
        return Published(rolled_back.version, len(rolled_back.rules), changed=rolled_back.version != before)

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """Evaluate rules on the record of a stored event, without effects."""
        return await self._post("/dry-runs", DryRun, _candidate_fields(candidate) | {"event": event_id})

    async def dry_run_record(self, candidate: Candidate, ref: RecordRef) -> DryRun:
        """Evaluate rules on a record as if `source` had sent an event about it, without effects."""
        return await self._post("/dry-runs", DryRun, _candidate_fields(candidate) | {"record": ref.lane})

    async def compare_rules(self, candidate: Candidate, events: int) -> RulebookComparison:
        """Evaluate the newest stored events by a candidate and by the active rules."""
        return await self._post(
            "/dry-runs/compare", RulebookComparison, _candidate_fields(candidate) | {"last": events}
        )


def _reject_author(author: str | None) -> None:
    if author is not None:
        detail = "--author cannot be used with --url: the author is the name of the token. Omit --author."
        raise Rejection(422, "invalid", detail)


def _candidate_fields(candidate: Candidate) -> dict[str, Any]:
    return {name: value for name, value in structs.asdict(candidate).items() if value is not None}


def _collection(*, dead_only: bool) -> str:
    return "dead-letters" if dead_only else "events"
