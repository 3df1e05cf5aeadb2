"""Overview of an installation: queue, workers, activity of the last day, accounts, rulebook, conditions to act on.

Counts by hour are exact. The activity of sources is that of the newest events: the store has no index by source.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.events import received_at_ms
from service.management.circuits import CircuitOperations, CircuitView
from service.management.conditions import HealthCondition, find_conditions
from service.management.event_filter import format_timestamp
from service.management.rulebook import Publication, RulebookOperations
from service.management.stores import NamedStores
from service.store import QueueStats
from service.store.management.events import PAGE_EVENTS_MAX, EventSummary, Index

HOURS = 24
SAMPLED_EVENTS_MAX = 600
"""Events read per index and store for the activity of sources."""

RATE_SECONDS = 60.0
ARRIVAL_AGE_DAYS_MAX = 365
_HOUR_MS = 3_600_000
_INDEXES: tuple[Index, ...] = ("open", "dead", "ended")


class HourCounts(Struct, frozen=True):
    """Events that ended, and events that became dead letters, in the hour from `at`."""

    at: str
    ended: int
    dead: int


class SourceActivity(Struct, frozen=True, kw_only=True):
    """Activity of a source among the newest events: last arrival, and arrivals per hour of the last day."""

    source: str
    last_at: str | None
    hours: Sequence[int]


class InstallationOverview(Struct, frozen=True, kw_only=True):
    """Overview. `queue` is the sum of all shards; its ages and memory percentage are the highest of a shard or server.

    `sampled_since` is the time from which the arrivals per source and `received_per_minute` are complete; None if they
    cover the whole day.
    """

    at: str
    queue: QueueStats
    workers_lost: int
    received_per_minute: float
    ended_per_minute: float
    hours: Sequence[HourCounts]
    sources: Sequence[SourceActivity]
    sampled_since: str | None
    circuits: Sequence[CircuitView]
    rulebook: Publication | None
    quarantined: int
    conditions: Sequence[HealthCondition]


class _Sample(Struct, frozen=True):
    """Newest events, and the time from which they are complete (ms)."""

    events: Sequence[EventSummary]
    complete_from_ms: int


class OverviewOperations(CircuitOperations, RulebookOperations):
    """Overview of the installation. Read-only."""

    async def get_overview(self) -> InstallationOverview:
        """Return the overview.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        stores, now_ms = self.stores, int(time.time() * 1000)
        first_ms = now_ms - now_ms % _HOUR_MS - (HOURS - 1) * _HOUR_MS
        queue, hours, last_minute, sample = await asyncio.gather(
            self.installation.open_store().sample(),
            _ended(stores, first_ms, _HOUR_MS, HOURS),
            _ended(stores, int(now_ms - RATE_SECONDS * 1000), int(RATE_SECONDS * 1000), 1),
            _sample(stores, first_ms),
        )
        circuits, publications, quarantined, workers_lost = await asyncio.gather(
            self.list_circuits(), self.list_publications(), _quarantined(stores), _workers_lost(stores)
        )
        known = list(self.installation.config().sources)
        is_partial = sample.complete_from_ms > first_ms
        return InstallationOverview(
            at=format_timestamp(now_ms),
            queue=queue,
            workers_lost=workers_lost,
            received_per_minute=_rate(sample, now_ms),
            ended_per_minute=float(sum(map(sum, last_minute))),
            hours=[
                HourCounts(format_timestamp(first_ms + hour * _HOUR_MS), *counts)
                for hour, counts in enumerate(zip(*hours, strict=True))
            ],
            sources=_activity(known, sample, first_ms),
            sampled_since=format_timestamp(sample.complete_from_ms) if is_partial else None,
            circuits=circuits,
            rulebook=publications[0] if publications else None,
            quarantined=quarantined,
            conditions=list(
                find_conditions(queue, circuits, workers_lost, quarantined, is_published=bool(publications))
            ),
        )


async def _ended(stores: NamedStores, first_ms: int, step_ms: int, steps: int) -> tuple[list[int], list[int]]:
    """Return the ended events and the dead letters per step, of all stores together."""
    counts = [await named.inspector.ended_by_time(first_ms, step_ms, steps) for named in stores]
    ended, dead = ([sum(column) for column in zip(*series, strict=True)] for series in zip(*counts, strict=True))
    return ended, dead


async def _sample(stores: NamedStores, first_ms: int) -> _Sample:
    """Read the newest events of each index, back to `first_ms` or to the limit."""
    events: list[EventSummary] = []
    complete_from_ms = first_ms
    for named in stores:
        for index in _INDEXES:
            read = 0
            while read < SAMPLED_EVENTS_MAX:
                page = await named.store.events.page(index, PAGE_EVENTS_MAX, offset=read)
                events += page
                read += len(page)
                if len(page) < PAGE_EVENTS_MAX or page[-1].at_ms < first_ms:
                    break
            else:
                complete_from_ms = max(complete_from_ms, events[-1].at_ms)
    return _Sample(events, complete_from_ms)


def _rate(sample: _Sample, now_ms: int) -> float:
    """Return the arrivals per minute, over the last minute or the shorter time that the sample covers."""
    begin_ms = max(int(now_ms - RATE_SECONDS * 1000), sample.complete_from_ms)
    arrived = sum(_arrival_ms(event) >= begin_ms for event in sample.events)
    return round(arrived * RATE_SECONDS * 1000 / max(now_ms - begin_ms, 1), 1)


def _activity(known: Sequence[str], sample: _Sample, first_ms: int) -> list[SourceActivity]:
    hours = {source: [0] * HOURS for source in known}
    last: dict[str, int] = {}
    for event in sample.events:
        # `emit` actions name sources that are not configured.
        at_ms, source = _arrival_ms(event), event.source
        if source not in hours:
            continue
        last[source] = max(at_ms, last.get(source, 0))
        hour = (at_ms - first_ms) // _HOUR_MS
        if 0 <= hour < HOURS:
            hours[source][hour] += 1
    return [
        SourceActivity(source=source, last_at=format_timestamp(last[source]) if source in last else None, hours=counts)
        for source, counts in hours.items()
    ]


def _arrival_ms(event: EventSummary) -> int:
    arrived_ms = received_at_ms(event.id)
    # The id of a derived event can have the form of an id with a time.
    is_plausible = arrived_ms is not None and 0 <= event.at_ms - arrived_ms < ARRIVAL_AGE_DAYS_MAX * HOURS * _HOUR_MS
    return arrived_ms if arrived_ms is not None and is_plausible else event.at_ms


async def _quarantined(stores: NamedStores) -> int:
    counts: list[int] = []
    for named in stores:
        counts += [(await named.store.quarantine.count(name))[0] for name in await named.store.quarantine.sources()]
    return sum(counts)


async def _workers_lost(stores: NamedStores) -> int:
    """Return the number of workers with an expired heartbeat: they crashed or are cut off."""
    alive: Mapping[str, bool] = {
        heartbeat.worker: heartbeat.alive for named in stores for heartbeat in await named.inspector.heartbeats()
    }
    return sum(not is_alive for is_alive in alive.values())
