"""Statistics of rules over the newest decided events. Read from their histories, since the store counts no rules."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.management.event_filter import EventFilter, format_timestamp
from service.management.event_search import EventHit, find_events
from service.management.installation import InstallationOperations

STATISTICS_EVENTS = 300
READS_AT_ONCE_MAX = 16


class RuleStatistics(Struct, frozen=True, kw_only=True):
    """Results of a rule, and its last match."""

    matched: int = 0
    unmatched: int = 0
    unknown: int = 0
    error: int = 0
    last_matched_at: str | None = None
    last_event_id: str | None = None


class RuleStatisticsReport(Struct, frozen=True):
    """Statistics by rule id, of the `events` newest events that ended or died."""

    rules: Mapping[str, RuleStatistics]
    events: int


class RuleStatisticsOperations(InstallationOperations):
    """Statistics of rules. Read-only."""

    async def rule_statistics(self) -> RuleStatisticsReport:
        """Return the statistics.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        hits: list[EventHit] = []
        for state in ("ended", "dead"):
            found, _ = await find_events(self.stores, EventFilter(state=state), STATISTICS_EVENTS, None)
            hits += found
        hits = sorted(hits, key=lambda hit: hit.cursor, reverse=True)[:STATISTICS_EVENTS]
        slots = asyncio.Semaphore(READS_AT_ONCE_MAX)

        async def read(hit: EventHit) -> Sequence[Mapping[str, Any]]:
            async with slots:
                shown = await hit.store.store.events.get(hit.summary.id)
            history: Sequence[Mapping[str, Any]] = shown["history"] if shown else ()
            return next((entry["verdicts"] for entry in history if entry.get("entry") == "decided"), ())

        counts: dict[str, dict[str, int]] = {}
        last: dict[str, EventHit] = {}
        for hit, verdicts in zip(hits, await asyncio.gather(*map(read, hits)), strict=True):
            for verdict in verdicts:
                results = counts.setdefault(verdict["rule_id"], {})
                results[verdict["result"]] = results.get(verdict["result"], 0) + 1
                if verdict["result"] == "matched":
                    last.setdefault(verdict["rule_id"], hit)
        rules = {rule_id: _statistics(results, last.get(rule_id)) for rule_id, results in counts.items()}
        return RuleStatisticsReport(rules, len(hits))


def _statistics(results: Mapping[str, int], last: EventHit | None) -> RuleStatistics:
    return RuleStatistics(
        matched=results.get("matched", 0),
        unmatched=results.get("unmatched", 0),
        unknown=results.get("unknown", 0),
        error=results.get("error", 0),
        last_matched_at=format_timestamp(last.summary.at_ms) if last else None,
        last_event_id=last.summary.id if last else None,
    )
