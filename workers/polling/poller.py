"""Polls: list what a platform holds, and take in as events what changed since the last look.

    follow(tools, poll)                   for ever: wait for a turn, make a pass
        polls.claim(…)                    one worker at a time, by a lock with a token that fences every write
        Pass.run()                        page by page:
            platform.list_records(…)      through the account's gate, so that no limit is overtaken
            judge(listed, known)          what changed; pure
            intake.ingest_all(…)          one event a change, claimed by the change itself
            polls.note(…)                 what was seen, and the cursor: only then is the page done
        Pass._vanished()                  what every pass is to show and this one did not: asked for one by one

A page whose events were taken in and that was not noted, because the poller died, is looked at again by the next one;
its events carry the same claims, so they are known. Beside deliveries, a change whose version was decided already is
told, all others are missed.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial

import structlog
from msgspec import Struct, structs

from service.errors import Deferred, LeaseLost, PermanentError, StoreNotDurable, StoreUnavailable, TransientError
from service.events import RecordRef
from service.metrics.families import POLL_CHANGES, POLL_MISSES, POLLS
from service.platforms.base import CallContext, ListedRecord, Platform, RecordPage
from service.settings import Settings
from service.store import Shards, Store
from service.store.platforms.polls import PollLease, Polls, RecordFingerprint, RecordStatus
from workers.background import run_forever
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
"""Every so many passes look at all there is, also where the order of a list would let them stop early."""
VANISHED_MAX = 100
"""Records that one pass asks for because the list shows them no more; the next pass goes on."""
KNOWN_PAGES_MAX = 3
"""Pages in a row that show only what the pass has seen already; a list that goes on so would go on for ever."""
PAUSE_SECONDS_MAX = 60.0
"""Longest wait after a pass that failed."""
IDLE_SECONDS_MAX = 5.0
"""How often a worker that does not poll looks whether it is to."""


class PollDependencies(Struct, frozen=True):
    """What polling takes: `home` is the store that polls remember in, `intake` takes events in."""

    settings: Settings
    home: Store
    intake: Store | Shards
    platform: Platform


async def poll_all(
    settings: Settings, intake: Store | Shards, platforms: Mapping[str, Platform], polls: Mapping[str, PollSource]
) -> None:
    """Poll every source that is polled, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for poll in polls.values():
            tools = PollDependencies(settings, shared_store(intake), intake, platforms[poll.account])
            group.create_task(run_forever(f"poll {poll.source}", partial(poll_source, tools, poll)))


def shared_store(intake: Store | Shards) -> Store:
    """Give the store that holds what all workers share of the platforms, also where records lie on several."""
    return intake.stores[0] if isinstance(intake, Shards) else intake


async def poll_source(tools: PollDependencies, poll: PollSource) -> None:
    """Poll a source for ever, whenever it is this worker's turn."""
    log = structlog.get_logger()
    while True:
        # A token for each turn, so that a poller that lost one is fenced off from its own past.
        token = os.urandom(8).hex()
        try:
            turn = await tools.home.polls.claim(poll.source, token, tools.settings.lease_seconds)
            if isinstance(turn, PollLease):
                await PollPass(tools, poll, token, turn).run()
                continue
            seconds = min(turn, IDLE_SECONDS_MAX)
        except LeaseLost:
            POLLS.inc((poll.source, "lost"))
            log.warning("poll.lease_lost", source_name=poll.source)
            seconds = 0.0
        except (StoreUnavailable, StoreNotDurable):
            seconds = IDLE_SECONDS_MAX  # the worker itself tells of the outage
        await asyncio.sleep(seconds)


class PollPass:
    """One pass over a list, or what was left of it by a poller before."""

    def __init__(self, tools: PollDependencies, poll: PollSource, token: str, turn: PollLease) -> None:
        self._tools = tools
        self._poll = poll
        self._token = token
        self._turn = turn
        self._lease_seconds = tools.settings.lease_seconds
        self._whole = turn.number % FULL_PASS_EVERY == 0
        self._unbroken = turn.cursor is None
        self._ids: set[str] = set()
        self._known_pages = 0
        self._log = structlog.get_logger()
        self._began = time.perf_counter()
        self._fields = {"source_name": poll.source, "platform": poll.account, "record_kind": poll.kind}

    async def run(self) -> None:
        """Make the pass, and leave the turn to the next one whatever happens.

        Raises:
            LeaseLost: another worker polls now.
            StoreUnavailable: nothing more can be written; the lock ends by itself.
        """
        try:
            while await self._page():
                pass
            await self._vanished()
        except (Deferred, TransientError, PermanentError) as error:
            await self._give_up(error)
            return
        except asyncio.CancelledError:
            await self._leave(0.0)
            raise
        await self._polls.end(self._poll.source, self._token, self._lease_seconds, self._poll.every_seconds)
        POLLS.inc((self._poll.source, "finished"))
        POLL_CHANGES.inc((self._poll.source,), self._turn.changed)
        POLL_MISSES.inc((self._poll.source,), self._turn.missed)
        counts = {
            "records_listed": self._turn.records_listed,
            "changed": self._turn.changed,
            "missed": self._turn.missed,
        }
        duration_ms = round((time.perf_counter() - self._began) * 1000, 2)
        self._log.info("poll.finished", **self._fields, **counts, full_pass=self._whole, duration_ms=duration_ms)

    @property
    def _polls(self) -> Polls:
        return self._tools.home.polls

    async def _page(self) -> bool:
        """Look at one page; False after the last."""
        listing = await self._patiently(self._turn.cursor)
        entries, changed = await self._take_in(listing.items)
        # Where newest comes first, a page of nothing new ends the pass; now and then one looks at all there is.
        onward = listing.next if changed or self._whole else listing.settled
        if self._circling(listing) and onward is not None:
            POLLS.inc((self._poll.source, "interrupted"))
            why = {"error_kind": "platform_list_circles", "http_status": None, "operation": None}
            self._log.warning("poll.interrupted", **self._fields, **why, seconds=0.0)
            onward = None
        listed = self._turn.records_listed + len(listing.items)
        self._turn = structs.replace(self._turn, cursor=onward, records_listed=listed)
        # Behind the intake: after a crash in between the page is read again, and its events are known.
        await self._note(entries)
        return onward is not None

    def _circling(self, listing: RecordPage) -> bool:
        """Whether the list shows the same again and again, as one whose system does not know the word for the page."""
        ids = {item.id for item in listing.items}
        self._known_pages = self._known_pages + 1 if ids <= self._ids else 0
        self._ids |= ids
        return self._known_pages >= KNOWN_PAGES_MAX

    async def _take_in(self, items: Sequence[ListedRecord]) -> tuple[dict[str, RecordFingerprint], bool]:
        """Take in what changed; give what is to be remembered, and whether anything is new."""
        ids = list(dict.fromkeys(item.id for item in items))
        known = await self._polls.fingerprints(self._poll.source, self._token, self._lease_seconds, ids)
        first = self._turn.number == 0 and not self._poll.existing
        by_id = {item.id: item for item in items}
        found = [change for item in by_id.values() if (change := detect_change(item, known[item.id], first=first))]
        await self._ingest(found)
        entries = {item.id: fingerprint(item, known[item.id]) for item in by_id.values()}
        fresh = {record_id: seen for record_id, seen in entries.items() if seen != known[record_id]}
        return fresh, bool(fresh)

    async def _ingest(self, found: Sequence[DetectedChange]) -> None:
        if not found:
            return
        standings = await self._standings([change.listed.id for change in found])
        untold = [
            change for change, standing in zip(found, standings, strict=True) if not already_decided(change, standing)
        ]
        missed = sum(1 for change in untold if not standings[found.index(change)].queued) if self._poll.beside else 0
        if untold:
            await self._tools.intake.ingest_all([ingest_request(self._poll, change) for change in untold])
        self._turn = structs.replace(
            self._turn, changed=self._turn.changed + len(found), missed=self._turn.missed + missed
        )

    async def _standings(self, ids: Sequence[str]) -> list[RecordStatus]:
        lanes = [RecordRef(self._poll.account, self._poll.kind, record_id).lane for record_id in ids]
        intake = self._tools.intake
        if not isinstance(intake, Shards):
            return await intake.polls.record_statuses(lanes)
        return [(await intake.of(lane).polls.record_statuses([lane]))[0] for lane in lanes]

    async def _vanished(self) -> None:
        """Ask for the records that this pass should have shown and did not: finished, deleted, or slipped through."""
        # Another worker began this pass, and what it saw is not known here.
        if not self._unbroken:
            return
        known = await self._polls.known_records(self._poll.source, self._token, self._lease_seconds)
        missing = [
            (record_id, seen)
            for record_id, seen in known.items()
            if record_id not in self._ids and not seen.deleted and (self._whole or seen.watched)
        ]
        for record_id, seen in missing[:VANISHED_MAX]:
            await self._ask_for(record_id, seen)

    async def _ask_for(self, record_id: str, seen: RecordFingerprint) -> None:
        fetched = await self._tools.platform.fetch(
            RecordRef(self._poll.account, self._poll.kind, record_id), CallContext("")
        )
        if fetched.record is None:
            gone = ListedRecord(record_id, None, fetched.digest, deleted=True)
            await self._ingest([DetectedChange(gone, "deleted", seen.changes + 1)])
            await self._note({record_id: tombstone(seen)})
            return
        if fetched.version is None:
            return  # a list slipped while it was paged through; the next pass shows the record again
        shown = ListedRecord(record_id, fetched.version, fetched.digest, bool(fetched.record.deleted_at), watched=False)
        change = detect_change(shown, seen, first=False)
        await self._ingest([change] if change else [])
        await self._note({record_id: fingerprint(shown, seen)})

    async def _patiently(self, cursor: str | None) -> RecordPage:
        """List a page; a short wait for the gate is waited here, with the turn kept."""
        while True:
            try:
                return await self._tools.platform.list_records(self._poll.kind, cursor, CallContext(""))
            except Deferred as held:
                # A longer wait would outlast the turn.
                if held.seconds > self._lease_seconds / 2:
                    raise
                await self._note({})
                await asyncio.sleep(held.seconds)

    async def _note(self, entries: Mapping[str, RecordFingerprint]) -> None:
        await self._polls.save_page(self._poll.source, self._token, self._lease_seconds, self._turn, entries)

    async def _leave(self, seconds: float) -> None:
        await self._polls.release(self._poll.source, self._token, self._lease_seconds, seconds)

    async def _give_up(self, error: Deferred | TransientError | PermanentError) -> None:
        """Leave the pass where it stands; whoever goes on begins at the page that failed."""
        asked = error.seconds if isinstance(error, Deferred) else getattr(error, "retry_after_seconds", None)
        usual = self._poll.every_seconds if isinstance(error, PermanentError) else PAUSE_SECONDS_MAX
        seconds = asked or min(usual, self._poll.every_seconds)
        await self._leave(seconds)
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
