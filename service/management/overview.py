"""Overview of an installation: queue, workers, activity of the last day, accounts, rulebook, conditions to act on.

Counts by hour are exact, except that arrivals of the last two seconds of a process that crashed are missing.
"""

import asyncio
import time
from collections.abc import Sequence

from msgspec import Struct

from service.events import received_at_ms
from service.management.circuits import CircuitOperations, CircuitView
from service.management.conditions import HealthCondition, find_conditions
from service.management.destinations import DestinationOperations, DestinationView
from service.management.event_filter import format_timestamp
from service.management.rulebook import Publication, RulebookOperations
from service.management.stores import NamedStore, NamedStores, read_shards
from service.store import QueueStats
from service.store.management.events import PAGE_EVENTS_MAX, EventSummary, Index

HOURS = 24
SAMPLED_EVENTS_MAX = 600
"""Events read per index for the arrivals per minute."""

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
    """Activity of a source: last arrival of a delivery or poll, and arrivals per hour of the last day."""

    source: str
    last_at: str | None
    hours: Sequence[int]


class InstallationOverview(Struct, frozen=True, kw_only=True):
    """Overview. `queue` is that of all shards (`Shards.sample`)."""

    at: str
    queue: QueueStats
    workers_lost: int
    received_per_minute: float
    ended_per_minute: float
    hours: Sequence[HourCounts]
    sources: Sequence[SourceActivity]
    circuits: Sequence[CircuitView]
    destinations: Sequence[DestinationView]
    rulebook: Publication | None
    quarantined: int
    conditions: Sequence[HealthCondition]


class _Sample(Struct, frozen=True):
    """Newest events, and the time from which they are complete (ms)."""

    events: Sequence[EventSummary]
    complete_from_ms: int


class OverviewOperations(CircuitOperations, DestinationOperations, RulebookOperations):
    """Overview of the installation. Read-only."""

    async def get_overview(self) -> InstallationOverview:
        """Return the overview.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        stores, now_ms = self.stores, int(time.time() * 1000)
        first_ms = now_ms - now_ms % _HOUR_MS - (HOURS - 1) * _HOUR_MS
        rate_ms = int(now_ms - RATE_SECONDS * 1000)
        queue, hours, last_minute, sample, sources = await asyncio.gather(
            self.installation.open_store().sample(),
            _ended(stores, first_ms, _HOUR_MS, HOURS),
            _ended(stores, rate_ms, int(RATE_SECONDS * 1000), 1),
            _sample(stores, rate_ms),
            self.list_activity(first_ms // _HOUR_MS),
        )
        circuits, destinations, publications, quarantined, workers_lost = await asyncio.gather(
            self.list_circuits(),
            self.list_destinations(),
            self.list_publications(),
            _quarantined(stores),
            _workers_lost(stores),
        )
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
            sources=sources,
            circuits=circuits,
            destinations=destinations,
            rulebook=publications[0] if publications else None,
            quarantined=quarantined,
            conditions=list(
                find_conditions(queue, circuits, workers_lost, quarantined, is_published=bool(publications))
            ),
        )

    async def list_activity(self, first_hour: int | None = None) -> list[SourceActivity]:
        """Return the activity of each source of waybill.yaml. `first_hour` counts from the epoch.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        if first_hour is None:
            first_hour = int(time.time() * 1000) // _HOUR_MS - (HOURS - 1)
        arrivals = self.stores[0].store.arrivals
        counted, last = await arrivals.by_hour(first_hour, HOURS), await arrivals.last_at_ms()
        return [
            SourceActivity(
                source=source,
                last_at=format_timestamp(last[source]) if source in last else None,
                hours=counted.get(source, [0] * HOURS),
            )
            for source in self.installation.config().sources
        ]


async def _ended(stores: NamedStores, first_ms: int, step_ms: int, steps: int) -> tuple[list[int], list[int]]:
    """Return the ended events and the dead letters per step, of all stores together."""
    counts = await read_shards(stores, lambda named: named.inspector.ended_by_time(first_ms, step_ms, steps))
    ended, dead = ([sum(column) for column in zip(*series, strict=True)] for series in zip(*counts, strict=True))
    return ended, dead


async def _sample(stores: NamedStores, first_ms: int) -> _Sample:
    """Read the newest events of each index, back to `first_ms` or to the part of the limit that a shard has."""
    events_max = -(-SAMPLED_EVENTS_MAX // len(stores))
    samples = await read_shards(stores, lambda named: _sample_shard(named, first_ms, events_max))
    events = [event for sample in samples for event in sample.events]
    return _Sample(events, max(sample.complete_from_ms for sample in samples))


async def _sample_shard(named: NamedStore, first_ms: int, events_max: int) -> _Sample:
    events: list[EventSummary] = []
    complete_from_ms, page_max = first_ms, min(events_max, PAGE_EVENTS_MAX)
    for index in _INDEXES:
        read = 0
        while read < events_max:
            page = await named.store.events.page(index, page_max, offset=read)
            events += page
            read += len(page)
            if len(page) < page_max or page[-1].at_ms < first_ms:
                break
        else:
            complete_from_ms = max(complete_from_ms, events[-1].at_ms)
    return _Sample(events, complete_from_ms)


def _rate(sample: _Sample, now_ms: int) -> float:
    """Return the arrivals per minute, over the last minute or the shorter time that the sample covers."""
    begin_ms = max(int(now_ms - RATE_SECONDS * 1000), sample.complete_from_ms)
    arrived = sum(_arrival_ms(event) >= begin_ms for event in sample.events)
    return round(arrived * RATE_SECONDS * 1000 / max(now_ms - begin_ms, 1), 1)


def _arrival_ms(event: EventSummary) -> int:
    arrived_ms = received_at_ms(event.id)
    # The id of a derived event can have the form of an id with a time.
    is_plausible = arrived_ms is not None and 0 <= event.at_ms - arrived_ms < ARRIVAL_AGE_DAYS_MAX * HOURS * _HOUR_MS
    return arrived_ms if arrived_ms is not None and is_plausible else event.at_ms


async def _quarantined(stores: NamedStores) -> int:
    quarantine = stores[0].store.quarantine  # the first shard holds it
    return sum([(await quarantine.count(name))[0] for name in await quarantine.sources()])


async def _workers_lost(stores: NamedStores) -> int:
    """Return the number of workers with an expired heartbeat: they crashed or are cut off."""
    heartbeats = await read_shards(stores, lambda named: named.inspector.heartbeats())
    alive = {beat.worker for beats in heartbeats for beat in beats if beat.alive}
    return len({beat.worker for beats in heartbeats for beat in beats} - alive)
