"""Statistics of rules over the newest decided events. Read from their histories, since the store counts no rules."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.management.event_filter import EventFilter, format_timestamp
from service.management.event_search import EventHit, find_events
from service.management.installation import InstallationOperations
from service.rules.stored_decisions import verdicts_of

STATISTICS_EVENTS = 300
STATISTICS_EVENTS_MAX = 10_000
READS_AT_ONCE_MAX = 16
DAY_CHARACTERS = len("2026-11-20")


class DayStatistics(Struct, frozen=True, kw_only=True):
    """Results of a rule for the events that ended on one day (UTC), such as `2026-11-20`."""

    day: str
    matched: int = 0
    unmatched: int = 0
    unknown: int = 0
    error: int = 0


class RuleStatistics(Struct, frozen=True, kw_only=True):
    """Results of a rule, in all and by day with the newest first, and its last match."""

    matched: int = 0
    unmatched: int = 0
    unknown: int = 0
    error: int = 0
    last_matched_at: str | None = None
    last_event_id: str | None = None
    days: Sequence[DayStatistics] = ()


class RuleStatisticsReport(Struct, frozen=True):
    """Statistics by rule id, of the `events` newest events that ended or died."""

    rules: Mapping[str, RuleStatistics]
    events: int


class RuleStatisticsOperations(InstallationOperations):
    """Statistics of rules. Read-only."""

    async def rule_statistics(self, events_max: int = STATISTICS_EVENTS) -> RuleStatisticsReport:
        """Return the statistics over at most `events_max` events.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        hits: list[EventHit] = []
        for state in ("ended", "dead"):
            found, _ = await find_events(self.stores, EventFilter(state=state), events_max, None)
            hits += found
        hits = sorted(hits, key=lambda hit: hit.cursor, reverse=True)[:events_max]
        slots = asyncio.Semaphore(READS_AT_ONCE_MAX)

        async def read(hit: EventHit) -> Sequence[tuple[str, str]]:
            async with slots:
                shown = await hit.store.store.events.get(hit.summary.id)
            verdicts = verdicts_of(shown["history"]).values() if shown else ()
            return [(verdict["rule_id"], verdict["result"]) for verdict in verdicts]

        counts: dict[str, Counter[tuple[str, str]]] = {}
        last: dict[str, EventHit] = {}
        for hit, results in zip(hits, await asyncio.gather(*map(read, hits)), strict=True):
            day = format_timestamp(hit.summary.at_ms)[:DAY_CHARACTERS]
            for rule_id, result in results:
                counts.setdefault(rule_id, Counter())[day, result] += 1
                if result == "matched":
                    last.setdefault(rule_id, hit)
        rules = {rule_id: _statistics(results, last.get(rule_id)) for rule_id, results in counts.items()}
        return RuleStatisticsReport(rules, len(hits))


def _statistics(results: Mapping[tuple[str, str], int], last: EventHit | None) -> RuleStatistics:
    totals: Counter[str] = Counter()
    days: dict[str, dict[str, int]] = {}
    for (day, result), count in results.items():
        totals[result] += count
        days.setdefault(day, {})[result] = count
    return RuleStatistics(
        **totals,
        last_matched_at=format_timestamp(last.summary.at_ms) if last else None,
        last_event_id=last.summary.id if last else None,
        days=[DayStatistics(day=day, **counts) for day, counts in sorted(days.items(), reverse=True)],
    )
