"""Dry runs: rules evaluated on a record without effects.

The record is fetched now, posted, or that of a stored event. `previous` is the state of the record's last decision,
so an event that has a decision sees its own state. A comparison evaluates recent events by two rulebooks. Fetches are
limited in number, concurrency and time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.actions import Action
from service.compute_thread import run_in_thread
from service.errors import ConfigError, Deferred, PermanentError, Rejection, StoreUnavailable, TransientError
from service.events import EVENT_KIND, ChangeType, Event, RecordRef
from service.lookups import RecordLookups
from service.management.dry_run_result import DryRun, dry_run_subject
from service.management.event_ids import find_event_id
from service.management.rulebook import RulebookOperations
from service.management.stored_events import recent_events, stored_event, synthetic_event
from service.platforms import Platform
from service.platforms.base import CallContext, FetchedRecord, is_hint, state_without_fetch
from service.records import RecordType, RecordTypes
from service.rules import Evaluation, PlannedEffect, Rule, Rulebook, Subject, write_document
from service.rules.lookups import Lookups
from service.store import Store

LAST_EVENTS_MAX = 200
FETCHES_AT_ONCE_MAX = 4
RUN_SECONDS_MAX = 30.0

StoreForLane = Callable[[str], Store]
"""From the name of a lane to the store that holds it."""


class Difference(Struct, frozen=True):
    """Rule with different results for the record of one event; None if a rulebook does not have the rule."""

    event_id: str
    record: str
    rule_id: str
    live: str | None
    candidate: str | None
    live_effects: Sequence[PlannedEffect]
    candidate_effects: Sequence[PlannedEffect]


class SkippedEvent(Struct, frozen=True):
    """Event that could not be evaluated, with the reason."""

    event_id: str
    reason: str


class RulebookComparison(Struct, frozen=True):
    """Differences between a candidate and the active rules over the newest events."""

    live: str
    candidate: str
    events_evaluated: int
    differences: Sequence[Difference]
    skipped: Sequence[SkippedEvent]


async def load_rulebook(document: bytes, actions: Sequence[type[Action]], records: RecordTypes) -> Rulebook:
    """Compile a document in a thread: 1,000 rules take most of a second. Up to 4 rulebooks are cached.

    Raises:
        ConfigError: The document is not valid.
    """
    return await asyncio.to_thread(_load_rulebook, document, tuple(actions), tuple(records.items()))


async def compare_on_recent_events(
    live: Rulebook,
    candidate: Rulebook,
    store_of: StoreForLane,
    platforms: Mapping[str, Platform],
    events: Sequence[Event],
) -> RulebookComparison:
    """Evaluate two rulebooks on the records of events. Each record is fetched once."""
    slots, fetched = asyncio.Semaphore(FETCHES_AT_ONCE_MAX), dict[str, asyncio.Task[FetchedRecord]]()
    deadline = asyncio.get_running_loop().time() + RUN_SECONDS_MAX

    async def fetch(event: Event) -> FetchedRecord:
        async with slots, asyncio.timeout_at(deadline):
            return await _fetch(event, platforms)

    async def evaluate(event: Event) -> list[Difference] | SkippedEvent:
        lane = event.record.lane
        try:
            # The task is stored, because other events may need the record during the fetch.
            if lane not in fetched:
                fetched[lane] = asyncio.create_task(fetch(event))
            subject = await _subject(live, event, store_of(lane), platforms, lambda _: fetched[lane])
            async with slots, asyncio.timeout_at(deadline):
                subject = await fetch_lookups(subject, (live, candidate), platforms)
        except (ConfigError, TransientError, PermanentError, Deferred, StoreUnavailable, TimeoutError) as error:
            return SkippedEvent(event.id, str(error) or f"no response within {RUN_SECONDS_MAX:g} seconds")
        now = datetime.now(UTC)
        # In a thread: records may be large, and deliveries arrive meanwhile.
        results = [await run_in_thread(rulebook.evaluate, subject, now) for rulebook in (live, candidate)]
        return differences(event, *results)

    tasks = [asyncio.create_task(evaluate(event)) for event in events]
    try:
        outcomes = await asyncio.gather(*tasks)
    finally:
        for task in (*tasks, *fetched.values()):  # one of them may have failed
            task.cancel()
    compared = [outcome for outcome in outcomes if isinstance(outcome, list)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, SkippedEvent)]
    return RulebookComparison(
        live.version,
        candidate.version,
        len(compared),
        [difference for found in compared for difference in found],
        skipped,
    )


def differences(event: Event, live: Evaluation, candidate: Evaluation) -> list[Difference]:
    """Return the rules whose results or effects differ."""
    found: list[Difference] = []
    by_rule = [{verdict.rule_id: verdict.result for verdict in each.verdicts} for each in (live, candidate)]
    for rule in sorted(by_rule[0].keys() | by_rule[1].keys()):
        effects = [[effect for effect in each.effects if effect.rule_id == rule] for each in (live, candidate)]
        results = [each.get(rule) for each in by_rule]
        if results[0] != results[1] or effects[0] != effects[1]:
            found.append(Difference(event.id, event.record.lane, rule, results[0], results[1], effects[0], effects[1]))
    return found


async def _subject(
    rulebook: Rulebook,
    event: Event,
    store: Store,
    platforms: Mapping[str, Platform],
    fetch: Callable[[Event], Awaitable[FetchedRecord]] | None = None,
) -> Subject:
    if is_hint(platforms, event.record):
        fix = "name a record of a kind that rules can be about"
        raise ConfigError("record", f"rules do not apply to {event.record.kind}, a hint", fix)
    fetched = await (fetch(event) if fetch else _fetch(event, platforms))
    try:
        last = await store.events.previous_fields(event.record.lane)
    except ValueError as error:
        reason = f"the last state of {event.record.lane} in the store cannot be read: {error}"
        raise PermanentError("undecodable", reason) from None
    previous: dict[str, Any] | None = msgspec.msgpack.decode(last) if last else None
    return Subject(event, fetched.record or rulebook.gone_record(event.record), fetched.raw, previous)


async def fetch_lookups(subject: Subject, rulebooks: Sequence[Rulebook], platforms: Mapping[str, Platform]) -> Subject:
    """Return the subject with all records that results of the rulebooks depend on. Failed look-ups are not retried."""
    lookups = RecordLookups()
    for rulebook in rulebooks:
        while True:
            seen = structs.replace(subject, lookups=Lookups(lookups.found))
            evaluation = await run_in_thread(rulebook.evaluate, seen, datetime.now(UTC))
            if not evaluation.pending:
                break
            await lookups.run(evaluation.pending, partial(_fetch, subject.event, platforms))
    return structs.replace(subject, lookups=Lookups(lookups.found, is_complete=True))


async def _fetch(event: Event, platforms: Mapping[str, Platform], ref: RecordRef | None = None) -> FetchedRecord:
    """Fetch the record of an event, or another one."""
    ref = ref or event.record
    if (state := state_without_fetch(ref)) is not None:
        return state
    platform = platforms.get(ref.platform)
    if platform is None:
        known = ", ".join(sorted(platforms)) or "none is configured"
        raise ConfigError("platform", f"platform account {ref.platform!r} not found", f"use one of: {known}")
    return await platform.fetch(ref, CallContext(event.id, event.traceparent))


@lru_cache(maxsize=4)
def _load_rulebook(
    document: bytes, actions: tuple[type[Action], ...], records: tuple[tuple[str, RecordType], ...]
) -> Rulebook:
    return Rulebook.load(document, actions, dict(records))


class Candidate(Struct, frozen=True):
    """Rules to evaluate: `rules` instead of all active rules, or an earlier `version`; by default the active rules."""

    rules: Sequence[Rule] | None = None
    version: str | None = None


class DryRunOperations(RulebookOperations):
    """Dry runs on the stores and platforms of an installation."""

    async def load_candidate(self, candidate: Candidate) -> Rulebook:
        """Compile the rules of a candidate.

        Raises:
            Rejection: 404 `not_found`: the version.
            ConfigError: A rule is not valid.
            StoreUnavailable: The store does not answer.
        """
        if candidate.rules is not None:
            written = write_document((), candidate.rules)
        else:
            document = (await self.get_rulebook(candidate.version)).document
            written = write_document(document.file_rules, document.api_rules)
        return await load_rulebook(written, self.installation.actions(), self.installation.records())

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """Evaluate rules on the record of a stored event. The record is fetched now.

        Raises:
            Rejection: 404 `not_found`: the event or the version.
            ConfigError: A rule is not valid, rules do not apply to the record, or its platform is not configured.
            StoreUnavailable: The store does not answer.
            TransientError, PermanentError, Deferred: The platform does not return the record.
        """
        rulebook = await self.load_candidate(candidate)
        # Other characters cannot be in an id, and could address another key.
        for named in self.stores if event_id.isalnum() else ():
            event = await stored_event(named.store, event_id)
            if event is not None:
                platforms = self.installation.platforms()
                subject = await _subject(rulebook, event, named.store, platforms)
                subject = await fetch_lookups(subject, [rulebook], platforms)
                return await run_in_thread(dry_run_subject, rulebook, subject, event.id)
        whole_id = await find_event_id(self.stores, event_id)
        if whole_id is not None:
            return await self.dry_run_event(candidate, whole_id)
        raise Rejection(404, "not_found", f"Event {event_id[:64]} not found.")

    async def dry_run_record(
        self, candidate: Candidate, ref: RecordRef, change: ChangeType = "updated", source: str = ""
    ) -> DryRun:
        """Evaluate rules on a record fetched now, as if `source` had sent an event about it.

        Raises:
            Rejection, ConfigError, StoreUnavailable, TransientError, PermanentError, Deferred: As `dry_run_event`.
        """
        if ref.kind == EVENT_KIND:
            fix = "name a stored event, or post a delivery"
            raise ConfigError("record", "an event without a platform has no record to fetch", fix)
        rulebook, event = await self.load_candidate(candidate), synthetic_event(ref, change, source)
        platforms = self.installation.platforms()
        subject = await _subject(rulebook, event, self.installation.store_of(ref.lane), platforms)
        subject = await fetch_lookups(subject, [rulebook], platforms)
        return await run_in_thread(dry_run_subject, rulebook, subject)

    async def compare_rules(self, candidate: Candidate, events: int) -> RulebookComparison:
        """Evaluate the newest stored events by the active rules and by a candidate, and return the differences."""
        live, compiled = await self.load_candidate(Candidate()), await self.load_candidate(candidate)
        platforms = self.installation.platforms()
        found = await recent_events([named.store for named in self.stores], platforms, events)
        return await compare_on_recent_events(live, compiled, self.installation.store_of, platforms, found)
