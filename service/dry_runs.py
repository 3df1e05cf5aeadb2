"""Dry runs: what rules would say of a record now, explained whole, without acting and without writing anything.

Judged is a record fetched now, one that is posted, or that of a stored event; `previous` is what the store remembers of
the record's last decision now, so a stored event that was decided since then sees itself there. Over the last stored
events two rulebooks are held against each other. Fetches are bounded in number, at once, and in time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from service.actions import Action
from service.errors import ConfigError, Held, PermanentError, StoreUnavailable, TransientError
from service.events import EVENT_VERSION, Change, Event, RecordRef, new_event_id
from service.platforms import Platform
from service.platforms.base import FetchContext, Fetched
from service.records import RECORDS
from service.rules import Judgement, PlannedEffect, Rulebook, Step, Subject, Trace, Verdict
from service.store import Store

LAST_EVENTS_MAX = 200
FETCHES_AT_ONCE_MAX = 4
RUN_SECONDS_MAX = 30.0
STEPS_MAX = 2_000

StoreOf = Callable[[str], Store]
"""From the name of a lane to the store that holds it."""


class DryRun(Struct, frozen=True):
    """What the rules said of one record: verdicts, every node with the value it saw, and effects as rendered."""

    rulebook: str
    record: str
    gone: bool
    verdicts: Sequence[Verdict]
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


class NotJudged(Struct, frozen=True):
    """An event that could not be judged, and why."""

    event_id: str
    reason: str


class Comparison(Struct, frozen=True):
    """What a candidate would have said otherwise over the last events."""

    live: str
    candidate: str
    events_evaluated: int
    differences: Sequence[Difference]
    skipped: Sequence[NotJudged]


async def load_rulebook(document: bytes, actions: Sequence[type[Action]]) -> Rulebook:
    """Compile a document beside the event loop; a thousand rules take most of a second. The last few are kept.

    Raises:
        ConfigError: a mistake in it.
    """
    return await asyncio.to_thread(_loaded, document, tuple(actions))


async def run_event(rulebook: Rulebook, store: Store, platforms: Mapping[str, Platform], event: Event) -> DryRun:
    """Judge the record of a stored event, fetched now.

    Raises:
        ConfigError: it is about no record of ours, or its platform is not configured.
        TransientError, PermanentError, Held: the platform does not give the record.
    """
    return run_subject(rulebook, await _subject(event, store, platforms), event.id)


async def run_record(
    rulebook: Rulebook,
    store: Store,
    platforms: Mapping[str, Platform],
    ref: RecordRef,
    *,
    change: Change = "updated",
    source: str = "",
) -> DryRun:
    """Judge a record fetched now, as if an event of `source` had told of it.

    Raises:
        ConfigError, TransientError, PermanentError, Held: as `run_event`.
    """
    return run_subject(rulebook, await _subject(made_event(ref, change, source), store, platforms), None)


def run_subject(rulebook: Rulebook, subject: Subject, event_id: str | None = None) -> DryRun:
    """Judge a subject with every node explained."""
    trace = Trace(STEPS_MAX)
    judgement = rulebook.judge(subject, datetime.now(UTC), trace)
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


async def compare_last(
    live: Rulebook, candidate: Rulebook, store_of: StoreOf, platforms: Mapping[str, Platform], events: Sequence[Event]
) -> Comparison:
    """Judge the records of events, fetched now, by two rulebooks; each record is fetched once."""
    gate, fetched = asyncio.Semaphore(FETCHES_AT_ONCE_MAX), dict[str, asyncio.Task[Fetched]]()
    deadline = asyncio.get_running_loop().time() + RUN_SECONDS_MAX

    async def fetch(event: Event) -> Fetched:
        async with gate, asyncio.timeout_at(deadline):
            return await _fetch(event, platforms)

    async def judge(event: Event) -> list[Difference] | NotJudged:
        lane = event.record.lane
        try:
            # The task, not its result, since others may want the same record while it is fetched.
            if lane not in fetched:
                fetched[lane] = asyncio.create_task(fetch(event))
            subject = await _subject(event, store_of(lane), platforms, lambda _: fetched[lane])
        except (ConfigError, TransientError, PermanentError, Held, StoreUnavailable, TimeoutError) as error:
            return NotJudged(event.id, str(error) or "no answer in time")
        now = datetime.now(UTC)
        return differences(event, live.judge(subject, now), candidate.judge(subject, now))

    outcomes = await asyncio.gather(*(judge(event) for event in events))
    told = [outcome for outcome in outcomes if isinstance(outcome, list)]
    missed = [outcome for outcome in outcomes if isinstance(outcome, NotJudged)]
    return Comparison(live.version, candidate.version, len(told), [each for one in told for each in one], missed)


def differences(event: Event, live: Judgement, candidate: Judgement) -> list[Difference]:
    """Tell every rule that says something else, or asks for something else."""
    told: list[Difference] = []
    said = [{verdict.rule_id: verdict.result for verdict in each.verdicts} for each in (live, candidate)]
    for rule in sorted(said[0].keys() | said[1].keys()):
        effects = [[effect for effect in each.effects if effect.rule_id == rule] for each in (live, candidate)]
        results = [each.get(rule) for each in said]
        if results[0] != results[1] or effects[0] != effects[1]:
            told.append(Difference(event.id, event.record.lane, rule, results[0], results[1], effects[0], effects[1]))
    return told


async def last_events(stores: Sequence[Store], events_max: int) -> list[Event]:
    """The newest stored events about records whose delivery can still be read, newest first.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    ids: list[tuple[int, str, Store]] = []
    for store in stores:
        for index in ("ended", "open", "dead"):
            ids += [(found.at_ms, found.id, store) for found in await store.events.page(index, events_max * 2)]
    ids.sort(key=lambda item: -item[0])
    found: list[Event] = []
    # Twice as many are looked at, since hints and what cannot be read any more do not count.
    for _, event_id, store in ids[: events_max * 2]:
        event = await stored_event(store, event_id)
        if event is not None and event.record.kind in RECORDS:
            found.append(event)
        if len(found) == events_max:
            break
    return found


async def stored_event(store: Store, event_id: str) -> Event | None:
    """A stored event; what is known of it once its body was dropped is enough.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    shown = await store.events.show(event_id)
    if shown is None:
        return None
    if shown["event"] is not None:
        return Event(**shown["event"])
    received = next((line for line in shown["history"] if line["entry"] == "received"), None)
    if received is None:
        return None
    ref = RecordRef(*received["record"].split(":", 2))
    made = made_event(ref, received["change"], received["source"])
    return msgspec.structs.replace(made, id=event_id, type=received["type"], occurred_at=received["occurred_at"])


def made_event(ref: RecordRef, change: Change, source: str) -> Event:
    """An event that nobody sent."""
    name = f"{ref.kind}.{change}"
    return Event(EVENT_VERSION, new_event_id(), source, name, change, ref, None, {}, None, b"")


async def _subject(
    event: Event,
    store: Store,
    platforms: Mapping[str, Platform],
    fetch: Callable[[Event], Awaitable[Fetched]] | None = None,
) -> Subject:
    if event.record.kind not in RECORDS:
        raise ConfigError("record", f"{event.record.kind} is no kind that rules are on", "name a record it leads to")
    fetched = await (fetch(event) if fetch else _fetch(event, platforms))
    last = await store.events.last_fields(event.record.lane)
    previous: dict[str, Any] | None = msgspec.msgpack.decode(last) if last else None
    return Subject(event, fetched.record or RECORDS[event.record.kind](id=event.record.id), fetched.raw, previous)


async def _fetch(event: Event, platforms: Mapping[str, Platform]) -> Fetched:
    platform = platforms.get(event.record.platform)
    if platform is None:
        known = ", ".join(sorted(platforms)) or "none is configured"
        raise ConfigError("platform", f"there is no platform {event.record.platform!r}", f"take one of: {known}")
    return await platform.fetch(event.record, FetchContext(event.id, event.traceparent))


# Whoever tries rules tries the same ones again; more than a few at once hardly do.
@lru_cache(maxsize=4)
def _loaded(document: bytes, actions: tuple[type[Action], ...]) -> Rulebook:
    return Rulebook.load(document, actions)
