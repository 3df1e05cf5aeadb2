"""Pass of a poll: list all pages, ingest the changes, then look for the records that are missing in the list.

    PollPass.run()                    page by page:
        platform.list_records(…)      through the throttle of the account
        detect_change(listed, known)  pure
        intake.ingest_all(…)          one event per change; its dedupe key identifies the change
        polls.save_page(…)            fingerprints and cursor; the page is done after this write
    PollPass._fetch_missing()         fetches records that are missing in the list, one by one

If a worker crashes after the ingestion of a page and before `save_page`, the next worker lists the page again. Its
events are then duplicates. A change of a decided version was delivered; any other change is a miss.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import Struct, structs

from service.errors import Deferred, PermanentError, TransientError
from service.events import RecordRef, new_event_id
from service.metrics.families import POLL_CHANGES, POLL_MISSES, POLLS
from service.platforms.api.coercion import record_version
from service.platforms.base import CallContext, FetchedRecord, ListedRecord, Platform, RecordPage
from service.settings import Settings
from service.store import Shards
from service.store.platforms.polls import PollLease, Polls, RecordFingerprint, RecordStatus
from service.tracing.spans import start_span
from workers.polling.changes import (
    DetectedChange,
    PollSource,
    already_decided,
    detect_change,
    fingerprint,
    ingest_request,
    tombstone,
)

FULL_PASS_EVERY = 24
"""Every 24th pass lists all pages, also if the order of the list allows an early stop."""
ITEMS_MAX = 500
"""Records of a page that are compared at once, in a few milliseconds, and in one store call."""
MISSING_MAX = 100
"""Missing records that one pass fetches. The next pass continues."""
PROOFS_MAX = 3
"""Records of the last page that are fetched to prove that the platform finds records."""
UNPROVEN_MAX = 4
"""Missing records that count as deleted without a proof, if the list is empty. As many as of deliveries."""
REPEATED_PAGES_MAX = 3
"""Consecutive pages without a new record id, after which a list is considered endless."""
PAUSE_SECONDS_MAX = 60.0
"""Longest delay after a failed pass."""
RECENT_SECONDS = 3_600.0
"""Age of a version up to which the first pass compares its content later. Covers the differences of clocks."""


class PollDependencies(Struct, frozen=True):
    """Dependencies of polling. `intake` receives events; its first shard has the state of polls."""

    settings: Settings
    intake: Shards
    platform: Platform


class PollPass:
    """One pass over a list, or the rest of a pass that another worker started."""

    def __init__(self, dependencies: PollDependencies, poll: PollSource, token: str, lease: PollLease) -> None:
        self._dependencies = dependencies
        self._poll = poll
        self._token = token
        # A pass that starts again at its first page lists all records again.
        self._lease = lease if lease.cursor else structs.replace(lease, records_listed=0)
        self._lease_seconds = dependencies.settings.lease_seconds
        self._context = CallContext("", correlation_id=new_event_id())
        self._is_full = lease.number % FULL_PASS_EVERY == 0
        self._from_first_page = lease.cursor is None
        self._ids: set[str] = set()
        self._present: list[str] = []
        self._repeated_pages = 0
        self._log = structlog.get_logger()
        self._started = time.perf_counter()
        self._fields = {
            "source_name": poll.source,
            "platform": poll.account,
            "record_kind": poll.kind,
            "correlation_id": self._context.correlation_id,
        }

    async def run(self) -> None:
        """Run the pass and release the lease.

        Raises:
            LeaseLost: another worker has the lease.
            StoreUnavailable, StoreNotDurable: the store accepts no writes; the lease expires.
        """
        try:
            while await self._poll_page():
                pass
            await self._fetch_missing()
        except (Deferred, TransientError, PermanentError) as error:
            await self._interrupt(error)
            return
        except asyncio.CancelledError:
            await self._release(0.0)
            raise
        await self._polls.end(self._poll.source, self._token, self._lease_seconds, self._poll.every_seconds)
        POLLS.inc((self._poll.source, "finished"))
        POLL_CHANGES.inc((self._poll.source,), self._lease.changed)
        POLL_MISSES.inc((self._poll.source,), self._lease.missed)
        counts = {
            "records_listed": self._lease.records_listed,
            "changed": self._lease.changed,
            "missed": self._lease.missed,
        }
        duration_ms = round((time.perf_counter() - self._started) * 1000, 2)
        self._log.info("poll.finished", **self._fields, **counts, full_pass=self._is_full, duration_ms=duration_ms)

    @property
    def _polls(self) -> Polls:
        return self._dependencies.intake.home.polls

    async def _poll_page(self) -> bool:
        """Process one page. Return False after the last page."""
        page = await self._list_page(self._lease.cursor)
        parts = [page.items[at : at + ITEMS_MAX] for at in range(0, len(page.items), ITEMS_MAX)]
        newest, *others = [await self._ingest_changes(items) for items in parts] or [{}]
        changed = bool(newest) or any(others)
        # In a list with the newest records first, a page without changes ends the pass, except for full passes.
        cursor = page.next if changed or self._is_full else page.settled
        if self._is_endless(page) and cursor is not None:
            POLLS.inc((self._poll.source, "interrupted"))
            error = {"error_kind": "platform_list_circles", "http_status": None, "operation": None}
            self._log.warning("poll.interrupted", **self._fields, **error, seconds=0.0)
            cursor = None
        listed = self._lease.records_listed + len(page.items)
        # After the ingestion: after a crash in between, the page is listed again and its events are duplicates.
        for entries in others:
            await self._save_page(entries)
        self._lease = structs.replace(self._lease, cursor=cursor, records_listed=listed)
        await self._save_page(newest)
        return cursor is not None

    def _is_endless(self, page: RecordPage) -> bool:
        """Return whether pages repeat, as with a platform that ignores the page parameter."""
        ids = {item.id for item in page.items}
        self._repeated_pages = self._repeated_pages + 1 if ids <= self._ids else 0
        self._ids |= ids
        self._present = [item.id for item in page.items if not item.deleted][:PROOFS_MAX] or self._present
        return self._repeated_pages >= REPEATED_PAGES_MAX

    async def _ingest_changes(self, items: Sequence[ListedRecord]) -> dict[str, RecordFingerprint]:
        """Ingest the changes of a part of a page. Return the fingerprints that changed."""
        ids = list(dict.fromkeys(item.id for item in items))
        known = await self._polls.fingerprints(self._poll.source, self._token, self._lease_seconds, ids)
        first = self._lease.number == 0 and not self._poll.existing
        by_id = {item.id: item for item in items}
        changes = [change for item in by_id.values() if (change := detect_change(item, known[item.id], first=first))]
        await self._ingest(changes)
        after = self._content_after(first=first)
        entries = {item.id: fingerprint(item, known[item.id], content_after=after) for item in by_id.values()}
        return {record_id: entry for record_id, entry in entries.items() if entry != known[record_id]}

    @staticmethod
    def _content_after(*, first: bool) -> str:
        """Return the version from which the content counts. A first pass must not make every record suspect."""
        recent = datetime.now(UTC) - timedelta(seconds=RECENT_SECONDS)
        return record_version(recent) or "" if first else ""

    async def _ingest(self, changes: Sequence[DetectedChange]) -> None:
        if not changes:
            return
        statuses = await self._statuses([change.listed.id for change in changes])
        undecided = [
            (change, status)
            for change, status in zip(changes, statuses, strict=True)
            if not already_decided(change, status)
        ]
        missed = 0
        if self._poll.has_deliveries:  # which of two states of one version was delivered is unknown
            missed = sum(not status.queued and not change.same_version for change, status in undecided)
        if undecided:
            with start_span("poll", "producer", attributes={"waybill.source": self._poll.source}):
                requests = [ingest_request(self._poll, change) for change, _ in undecided]
                await self._dependencies.intake.ingest_all(requests)
        self._lease = structs.replace(
            self._lease, changed=self._lease.changed + len(changes), missed=self._lease.missed + missed
        )

    async def _statuses(self, ids: Sequence[str]) -> list[RecordStatus]:
        lanes = [RecordRef(self._poll.account, self._poll.kind, record_id).lane for record_id in ids]
        return await self._dependencies.intake.record_statuses(lanes)

    async def _fetch_missing(self) -> None:
        """Fetch the records that this pass should have listed: finished, deleted or moved between pages."""
        # Another worker started this pass; the records that it listed are not known here.
        if not self._from_first_page:
            return
        known = await self._polls.known_records(self._poll.source, self._token, self._lease_seconds)
        missing = [
            (record_id, entry)
            for record_id, entry in known.items()
            if record_id not in self._ids and not entry.deleted and (self._is_full or entry.watched)
        ]
        gone = [
            (*each, digest)
            for each in missing[:MISSING_MAX]
            if (digest := await self._fetch_unlisted(*each)) is not None
        ]
        await self._check_that_records_are_found(len(gone))
        for record_id, entry, digest in gone:
            deleted = ListedRecord(record_id, None, digest, deleted=True)
            await self._ingest([DetectedChange(deleted, "deleted", entry.changes + 1)])
            await self._save_page({record_id: tombstone(entry)})

    async def _fetch_unlisted(self, record_id: str, known: RecordFingerprint) -> str | None:
        """Fetch a record and ingest its change. Return the digest of the response if the record does not exist."""
        fetched = await self._fetch(record_id)
        if fetched.record is None:
            await self._save_page({})
            return fetched.digest
        if fetched.version is None:
            return None  # records moved between pages during the pass; the next pass lists this record
        # The digest of a fetched record is not that of a listed one.
        listed = ListedRecord(record_id, fetched.version, "", bool(fetched.record.deleted_at), watched=False)
        change = detect_change(listed, known, first=False)
        await self._ingest([change] if change else [])
        await self._save_page({record_id: fingerprint(listed, known)})
        return None

    async def _check_that_records_are_found(self, gone: int) -> None:
        """Fetch records that the list contains: a gateway or a wrong path may answer 404 for every record.

        Raises:
            TransientError: The platform does not find them either, so no record counts as deleted.
        """
        if not gone:
            return
        for record_id in self._present:
            if (await self._fetch(record_id)).record is not None:
                return
        if self._present or gone > UNPROVEN_MAX:
            self._log.warning("platform.records_missing", platform=self._poll.account)
            reason = f"{self._poll.account} answers 404 for {gone} records that are missing in its list"
            raise TransientError("platform_records_missing", reason, retry_after_seconds=self._poll.every_seconds)

    async def _fetch(self, record_id: str) -> FetchedRecord:
        ref = RecordRef(self._poll.account, self._poll.kind, record_id)
        return await self._dependencies.platform.fetch(ref, self._context)

    async def _list_page(self, cursor: str | None) -> RecordPage:
        """List a page. A short wait for the throttle happens here, and the lease is renewed."""
        while True:
            try:
                return await self._dependencies.platform.list_records(self._poll.kind, cursor, self._context)
            except Deferred as error:
                # A longer wait would outlast the lease.
                if error.seconds > self._lease_seconds / 2:
                    raise
                await self._save_page({})
                await asyncio.sleep(error.seconds)

    async def _save_page(self, entries: Mapping[str, RecordFingerprint]) -> None:
        await self._polls.save_page(self._poll.source, self._token, self._lease_seconds, self._lease, entries)

    async def _release(self, seconds: float) -> None:
        await self._polls.release(self._poll.source, self._token, self._lease_seconds, seconds)

    async def _interrupt(self, error: Deferred | TransientError | PermanentError) -> None:
        """Interrupt the pass. The next worker continues at the page that failed."""
        requested_seconds = (
            error.seconds if isinstance(error, Deferred) else getattr(error, "retry_after_seconds", None)
        )
        default_seconds = self._poll.every_seconds if isinstance(error, PermanentError) else PAUSE_SECONDS_MAX
        seconds = requested_seconds or min(default_seconds, self._poll.every_seconds)
        await self._release(seconds)
        POLLS.inc((self._poll.source, "interrupted"))
        self._log.log(
            20 if isinstance(error, Deferred) else 30,
            "poll.interrupted",
            **self._fields,
            error_kind=error.kind,
            http_status=error.http_status,
            operation=error.operation,
            seconds=round(seconds, 2),
        )
