"""Live view: the events that arrived or ended since a position, oldest first.

An event is in the view when it ends or becomes a dead letter. An event that has not ended PENDING_MS after its arrival
is in the view as pending, too. A position holds a time of each store, by the clock of that store.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from service.errors import Rejection
from service.management.event_filter import EventFilter, to_epoch_ms
from service.management.event_search import EventHit, EventRow, matches_filter, newest_first, row_of
from service.management.installation import InstallationOperations
from service.management.stores import NamedStore, read_shards
from service.store.management.events import EventSummary, Index

READ_EVENTS_MAX = 300
"""Events read per index, store and call. Of more events the newest are read."""

PENDING_MS = 2_000
POSITION_CHARACTERS_MAX = 600
_POSITION = re.compile(r"[0-9]{1,15}(,[0-9]{1,15})*", re.ASCII)


class LiveBatch(Struct, frozen=True):
    """Events since a position, oldest first, and the position after them. `skipped` events were too many to read."""

    items: Sequence[EventRow]
    skipped: int
    next: str


class LiveOperations(InstallationOperations):
    """Live view of events. Read-only."""

    async def read_live(self, event_filter: EventFilter, after: str | None) -> LiveBatch:
        """Return the events after a position. Without one: those since `event_filter.since`, or none.

        Raises:
            Rejection: 422 `invalid`: `after` is not a position, or the filter has `until`.
            StoreUnavailable: A store does not answer.
        """
        if event_filter.until is not None:
            raise Rejection(422, "invalid", "The live view has no end. Remove `until`, or list events.")
        stores = self.stores
        # A script that runs later in the same millisecond can still add an event, so this one is not read yet.
        clocks = await read_shards(stores, lambda named: named.store.queue_stats.clock())
        ends = [int(clock * 1000) - 1 for clock in clocks]
        starts = _parse_position(after, len(stores)) or _starts(event_filter.since, ends)
        reads = [_read_shard(*each, event_filter) for each in zip(stores, starts, ends, strict=True)]
        found = await asyncio.gather(*reads)
        hits = sorted((hit for hits, _ in found for hit in hits), key=lambda hit: hit.cursor)
        skipped = sum(skipped for _, skipped in found)
        return LiveBatch([row_of(hit) for hit in hits], skipped, ",".join(map(str, ends)))


async def _read_shard(
    named: NamedStore, start_ms: int, end_ms: int, event_filter: EventFilter
) -> tuple[list[EventHit], int]:
    """Return the matching events of a shard in a time, and the number of events that were not read."""
    hits: list[EventHit] = []
    skipped = 0
    for index in event_filter.indexes:
        delay_ms = PENDING_MS if index == "open" else 0
        found, rest = await _read(named, index, start_ms - delay_ms, end_ms - delay_ms)
        hits += [EventHit(named, each) for each in found if await matches_filter(named, event_filter, each)]
        skipped += rest
    return hits, skipped


async def _read(named: NamedStore, index: Index, start_ms: int, end_ms: int) -> tuple[list[EventSummary], int]:
    """Return the events of an index after `start_ms` until `end_ms`, and the number of those that were not read."""
    found: list[EventSummary] = []
    async for summary in newest_first(named, index, end_ms, None):
        if summary.at_ms <= start_ms:
            return found, 0
        if len(found) == READ_EVENTS_MAX:
            total = await named.store.events.count_between(index, start_ms, end_ms)
            return found, max(total - len(found), 0)
        found.append(summary)
    return found, 0


def _starts(since: datetime | None, ends: Sequence[int]) -> list[int]:
    since_ms = to_epoch_ms(since)
    return [end if since_ms is None else min(since_ms, end) for end in ends]


def _parse_position(text: str | None, stores: int) -> list[int] | None:
    """Parse a position. One for another number of stores starts anew.

    Raises:
        Rejection: 422 `invalid`: not a position.
    """
    if not text:
        return None
    if len(text) > POSITION_CHARACTERS_MAX or _POSITION.fullmatch(text) is None:
        raise Rejection(422, "invalid", "Not a valid position. Send the `next` of the previous answer as `after`.")
    times = [int(part) for part in text.split(",")]
    return times if len(times) == stores else None
