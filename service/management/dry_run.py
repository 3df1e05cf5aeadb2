"""Dry runs: rules evaluated on a record without effects.

The record is fetched now, posted, or that of a stored event. `previous` is the state of the record's last decision,
so an event that has a decision sees its own state. A comparison evaluates recent events by two rulebooks. Fetches are
limited in number, concurrency and time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from service.actions import Action
from service.errors import ConfigError, Deferred, PermanentError, Rejection, StoreUnavailable, TransientError
from service.events import ChangeType, Event, RecordRef
from service.management.rulebook import get_rulebook
from service.management.stored_events import recent_events, stored_event, synthetic_event
from service.management.stores import NamedStores
from service.platforms import Platform
from service.platforms.base import CallContext, FetchedRecord
from service.records import RECORDS
from service.rules import Evaluation, PlannedEffect, Rule, Rulebook, RuleResult, Step, Subject, Trace, write_document
from service.store import Store

LAST_EVENTS_MAX = 200
FETCHES_AT_ONCE_MAX = 4
RUN_SECONDS_MAX = 30.0
STEPS_MAX = 2_000

StoreForLane = Callable[[str], Store]
"""From the name of a lane to the store that holds it."""


class DryRun(Struct, frozen=True):
    """What the rules said of one record: verdicts, every node with the value it saw, and effects as rendered."""

    rulebook: str
    record: str
    gone: bool
    verdicts: Sequence[RuleResult]
    steps: Sequence[Step]
    complete: bool
    effects: Sequence[PlannedEffect]
    event_id: str | None = None


class Difference(Struct, frozen=True):
    """One rule that says something else of one event's record; None where it was not asked."""

    event_id: str
    record: str
    rule_id: str
    live: str | None
    candidate: str | None
    live_effects: Sequence[PlannedEffect]
    candidate_effects: Sequence[PlannedEffect]


class SkippedEvent(Struct, frozen=True):
    """An event that could not be judged, and why."""

    event_id: str
    reason: str


class RulebookComparison(Struct, frozen=True):
    """What a candidate would have said otherwise over the last events."""

    live: str
    candidate: str
    events_evaluated: int
    differences: Sequence[Difference]
    skipped: Sequence[SkippedEvent]


async def load_rulebook(document: bytes, actions: Sequence[type[Action]]) -> Rulebook:
    """Compile a document beside the event loop; a thousand rules take most of a second. The last few are kept.

    Raises:
        ConfigError: a mistake in it.
    """
    return await asyncio.to_thread(_loaded, document, tuple(actions))


def dry_run_subject(rulebook: Rulebook, subject: Subject, event_id: str | None = None) -> DryRun:
    """Judge a subject with every node explained."""
    trace = Trace(STEPS_MAX)
    judgement = rulebook.evaluate(subject, datetime.now(UTC), trace)
    return DryRun(
        rulebook=rulebook.version,
        record=subject.event.record.lane,
        gone=subject.raw == {},
        verdicts=judgement.verdicts,
        steps=trace.steps,
        complete=trace.complete,
        effects=judgement.effects,
        event_id=event_id,
    )


async def compare_on_recent_events(
    live: Rulebook,
    candidate: Rulebook,
    store_of: StoreForLane,
    platforms: Mapping[str, Platform],
    events: Sequence[Event],
) -> RulebookComparison:
    """Judge the records of events, fetched now, by two rulebooks; each record is fetched once."""
    gate, fetched = asyncio.Semaphore(FETCHES_AT_ONCE_MAX), dict[str, asyncio.Task[FetchedRecord]]()
    deadline = asyncio.get_running_loop().time() + RUN_SECONDS_MAX

    async def fetch(event: Event) -> FetchedRecord:
        async with gate, asyncio.timeout_at(deadline):
            return await _fetch(event, platforms)

    async def evaluate(event: Event) -> list[Difference] | SkippedEvent:
        lane = event.record.lane
        try:
            # The task, not its result, since others may want the same record while it is fetched.
            if lane not in fetched:
                fetched[lane] = asyncio.create_task(fetch(event))
            subject = await _subject(event, store_of(lane), platforms, lambda _: fetched[lane])
        except (ConfigError, TransientError, PermanentError, Deferred, StoreUnavailable, TimeoutError) as error:
            return SkippedEvent(event.id, str(error) or "no answer in time")
        now = datetime.now(UTC)
        return differences(event, live.evaluate(subject, now), candidate.evaluate(subject, now))

    outcomes = await asyncio.gather(*(evaluate(event) for event in events))
    compared = [outcome for outcome in outcomes if isinstance(outcome, list)]
    missed = [outcome for outcome in outcomes if isinstance(outcome, SkippedEvent)]
    return RulebookComparison(
        live.version, candidate.version, len(compared), [each for one in compared for each in one], missed
    )


def differences(event: Event, live: Evaluation, candidate: Evaluation) -> list[Difference]:
    """Tell every rule that says something else, or asks for something else."""
    found: list[Difference] = []
    said = [{verdict.rule_id: verdict.result for verdict in each.verdicts} for each in (live, candidate)]
    for rule in sorted(said[0].keys() | said[1].keys()):
        effects = [[effect for effect in each.effects if effect.rule_id == rule] for each in (live, candidate)]
        results = [each.get(rule) for each in said]
        if results[0] != results[1] or effects[0] != effects[1]:
            found.append(Difference(event.id, event.record.lane, rule, results[0], results[1], effects[0], effects[1]))
    return found


async def _subject(
    event: Event,
    store: Store,
    platforms: Mapping[str, Platform],
    fetch: Callable[[Event], Awaitable[FetchedRecord]] | None = None,
) -> Subject:
    if event.record.kind not in RECORDS:
        raise ConfigError("record", f"{event.record.kind} is no kind that rules are on", "name a record it leads to")
    fetched = await (fetch(event) if fetch else _fetch(event, platforms))
    last = await store.events.previous_fields(event.record.lane)
    previous: dict[str, Any] | None = msgspec.msgpack.decode(last) if last else None
    return Subject(event, fetched.record or RECORDS[event.record.kind](id=event.record.id), fetched.raw, previous)


async def _fetch(event: Event, platforms: Mapping[str, Platform]) -> FetchedRecord:
    platform = platforms.get(event.record.platform)
    if platform is None:
        known = ", ".join(sorted(platforms)) or "none is configured"
        raise ConfigError("platform", f"there is no platform {event.record.platform!r}", f"take one of: {known}")
    return await platform.fetch(event.record, CallContext(event.id, event.traceparent))


# Whoever tries rules tries the same ones again; more than a few at once hardly do.
@lru_cache(maxsize=4)
def _loaded(document: bytes, actions: tuple[type[Action], ...]) -> Rulebook:
    return Rulebook.load(document, actions)


class Candidate(Struct, frozen=True):
    """By what to judge: these rules instead of all in force, or a former version; left out, the rules in force."""

    rules: Sequence[Rule] | None = None
    version: str | None = None


class DryRunner(Struct, frozen=True):
    """What a dry run stands on."""

    places: NamedStores
    store_of: StoreForLane
    platforms: Mapping[str, Platform]
    actions: Sequence[type[Action]]

    async def load(self, candidate: Candidate) -> Rulebook:
        """Compile the rules that are to be tried.

        Raises:
            Rejection: 404 `not_found`: no such version.
            ConfigError: a mistake in them.
            StoreUnavailable: the store does not answer.
        """
        if candidate.rules is not None:
            return await load_rulebook(write_document((), candidate.rules), self.actions)
        document = (await get_rulebook(self.places, candidate.version)).document
        return await load_rulebook(write_document(document.file_rules, document.api_rules), self.actions)

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """Judge the record of a stored event, fetched now.

        Raises:
            Rejection: 404 `not_found`.
            ConfigError, StoreUnavailable, TransientError, PermanentError, Held: as `dry_run_event`.
        """
        rulebook = await self.load(candidate)
        # Whatever else stands in a path is no id, and could name another key.
        for place in self.places if event_id.isalnum() else ():
            event = await stored_event(place.store, event_id)
            if event is not None:
                return dry_run_subject(rulebook, await _subject(event, place.store, self.platforms), event.id)
        raise Rejection(404, "not_found", f"There is no event {event_id[:64]}.")

    async def dry_run_record(
        self, candidate: Candidate, ref: RecordRef, change: ChangeType = "updated", source: str = ""
    ) -> DryRun:
        """Evaluate rules on a record fetched now, as if `source` had sent an event about it.

        Raises:
            Rejection, ConfigError, StoreUnavailable, TransientError, PermanentError, Deferred: As `dry_run_event`.
        """
        rulebook, event = await self.load(candidate), synthetic_event(ref, change, source)
        return dry_run_subject(rulebook, await _subject(event, self.store_of(ref.lane), self.platforms))

    async def compare(self, candidate: Candidate, events: int) -> RulebookComparison:
        """Judge the last stored events by a candidate and by the rules in force, and tell the differences."""
        live, tried = await self.load(Candidate()), await self.load(candidate)
        found = await recent_events([place.store for place in self.places], events)
        return await compare_on_recent_events(live, tried, self.store_of, self.platforms, found)
