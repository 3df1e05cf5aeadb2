"""Dead letters in groups by error, source and rule, with counts, so that one fault is one line."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from service.management.event_filter import EventFilter, format_timestamp
from service.management.event_search import EventHit, find_events
from service.management.event_view import EffectView, effects_of
from service.management.installation import InstallationOperations
from service.redaction import scrub

GROUPED_EVENTS_MAX = 1_000
"""Newest dead letters that are grouped. Each is read, because the index has no rule."""

READS_AT_ONCE_MAX = 16
REASON_CHARACTERS_MAX = 300


class DeadLetterGroup(Struct, frozen=True, kw_only=True):
    """Dead letters of one error, source and rule. `rule` is None for an error before any effect.

    `destinations` are the targets of the unfinished effects: a name, or the host of a URL. `reason` is the error text
    of the newest one, `event_id` its id.
    """

    error_kind: str
    source: str
    rule: str | None
    destinations: tuple[str, ...]
    count: int
    newest_at: str
    oldest_at: str
    reason: str
    event_id: str


class DeadLetterGroups(Struct, frozen=True):
    """Groups, the largest first; `complete` is False if there are more dead letters than were read."""

    items: list[DeadLetterGroup]
    dead_letters: int
    complete: bool


class _Member(Struct, frozen=True):
    """One dead letter of a group."""

    hit: EventHit
    rule: str | None
    destinations: frozenset[str]
    reason: str


class DeadLetterGroupOperations(InstallationOperations):
    """Groups of dead letters. Read-only."""

    async def group_dead_letters(self) -> DeadLetterGroups:
        """Return the groups of the newest dead letters.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        hits, cursor = await find_events(self.stores, EventFilter(state="dead"), GROUPED_EVENTS_MAX, None)
        slots = asyncio.Semaphore(READS_AT_ONCE_MAX)

        async def read(hit: EventHit) -> list[_Member]:
            async with slots:
                shown = await hit.store.store.events.get(hit.summary.id)
            return list(_members(hit, shown or {}))

        groups: dict[tuple[str, str, str | None], list[_Member]] = {}
        for members in await asyncio.gather(*map(read, hits)):
            for member in members:
                key = (member.hit.summary.error_kind, member.hit.summary.source, member.rule)
                groups.setdefault(key, []).append(member)
        items = sorted((_group(*key, members) for key, members in groups.items()), key=lambda each: -each.count)
        counts = [await named.inspector.counts() for named in self.stores]
        return DeadLetterGroups(items, sum(count["dead"] for count in counts), cursor is None)


def _members(hit: EventHit, shown: Mapping[str, Any]) -> Iterator[_Member]:
    """Yield one member per rule with unfinished effects, or one without a rule."""
    unfinished: dict[str, list[EffectView]] = {}
    for effect in effects_of(shown) if shown else ():
        if effect.state not in {"done", "superseded"}:
            unfinished.setdefault(effect.rule_id, []).append(effect)
    reason = str(scrub(shown.get("reason") or _last_error(shown)))[:REASON_CHARACTERS_MAX]
    for rule, effects in unfinished.items():
        yield _Member(hit, rule, frozenset(map(_destination, effects)), reason)
    if not unfinished:
        yield _Member(hit, None, frozenset(), reason)


def _last_error(shown: Mapping[str, Any]) -> str:
    errors = [entry["error"] for entry in shown.get("history", ()) if entry.get("error")]
    return str(errors[-1]) if errors else ""


def _destination(effect: EffectView) -> str:
    inputs: Mapping[str, Any] = effect.inputs or {}
    host = urlsplit(str(inputs.get("url", ""))).hostname
    return str(inputs.get("destination") or inputs.get("account") or host or effect.action_type)


def _group(error_kind: str, source: str, rule: str | None, members: list[_Member]) -> DeadLetterGroup:
    times = [member.hit.summary.at_ms for member in members]
    return DeadLetterGroup(
        error_kind=error_kind,
        source=source,
        rule=rule,
        destinations=tuple(sorted(frozenset[str]().union(*(member.destinations for member in members)))),
        count=len(members),
        newest_at=format_timestamp(max(times)),
        oldest_at=format_timestamp(min(times)),
        reason=members[0].reason,
        event_id=members[0].hit.summary.id,
    )
