"""Jobs of the queue: process the events of a lane in order, or run the deferred effects of one event.

    process_lane(ctx, record)             job of a lane; a bounded number of events per run
        LaneRun.attempt(head, …)          one event, until it ends or its next attempt is scheduled
            _fetch(event, …)              platform.fetch(); one fetch serves all events received before it began
            decide(rulebook, event, …)    evaluates the rules; pure
            AttemptLookups.run(…)         fetches further records that a result depends on, then evaluates again
            Attempt.decide(…)             writes the decision before any effect runs
            EffectsRun.run(…)             ledger: `started` before each call, the result after it
            Attempt.finish(…)             or wait, retry, dead_letter
    finish_effects(ctx, event)            job of an event with deferred effects; a replay evaluates failed rules again

A failed attempt ends in exactly one step. `hold`: the lane waits, because the next event needs the same fetch.
`defer`: the effects wait outside the lane. `bury`: the event is a dead letter. Only this module catches all exceptions.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from service.compute_thread import run_in_thread
from service.errors import Deferred, LeaseLost, PermanentError, StoreNotDurable, StoreUnavailable, TransientError
from service.events import Event
from service.log import current_logger
from service.platforms.base import FetchedRecord, is_hint
from service.rules import Rulebook
from service.rules.lookups import Lookups
from service.shared_timeouts import start_timeout
from service.store import Job, LaneHead, NextEvent
from service.store.queue.last_state import EncodedLastState
from service.tracing.spans import start_span
from workers.late_writes import LateWrites
from workers.processing.attempt import Attempt
from workers.processing.decisions import PendingLookups, decide, decide_failed_rules, derived_event
from workers.processing.dependencies import WorkerDependencies
from workers.processing.effects import EffectsRun
from workers.processing.fetching import fetch_record, follow_hint
from workers.processing.history import EXISTING, DecisionEntry, initial_ledger, is_replayed, rule_error
from workers.processing.lookups import AttemptLookups
from workers.processing.stored_values import check_head, load_decision, load_event, load_last_state

T = TypeVar("T")

EVALUATION_WORK_MAX = 5_000_000
"""Condition nodes times bytes of the records that are evaluated in the event loop, in about 10 ms; more in a thread."""


async def process_lane(ctx: Mapping[str, Any], _record: str) -> None:
    """Process a bounded number of events of a lane.

    Raises:
        LeaseLost, StoreUnavailable, StoreNotDurable: nothing more can be written; another run continues.
    """
    job, queue = ctx["job"], ctx["queue"]
    dependencies = ctx["dependencies"].on(queue.store)
    run = LaneRun(dependencies, job, queue.late_writes)
    head, last, now_ms = job.head, job.last, job.claimed_ms
    events_max = dependencies.settings.lane_events_max
    for number in range(1, events_max + 1):
        # A bounded run lets other lanes in: a record that changes all the time must not starve them.
        more = number < events_max and not ctx["worker"].draining_or_isolating
        next_event = await run.attempt(head, last, now_ms, more=more)
        if next_event.head is None:
            return
        head, last, now_ms = next_event.head, next_event.last, next_event.now_ms


async def finish_effects(ctx: Mapping[str, Any], _event_id: str) -> None:
    """Run the deferred effects of one event.

    Raises:
        LeaseLost, StoreUnavailable, StoreNotDurable: as `process_lane`.
    """
    job, queue = ctx["job"], ctx["queue"]
    run = LaneRun(ctx["dependencies"].on(queue.store), job, queue.late_writes)
    await run.attempt(job.head, None, job.claimed_ms, more=False)


class LaneRun:
    """One run of a job under one lease: its events in order, and the fetched record that they share."""

    def __init__(self, dependencies: WorkerDependencies, job: Job, late_writes: LateWrites) -> None:
        self._dependencies = dependencies
        self._late_writes = late_writes
        self._settings, self._keys = dependencies.settings, dependencies.store.keys
        self._job = job
        self._fetched: FetchedRecord | None = None
        self._fetched_at = 0.0
        # Events of the lane, from the current one on, that were received before the last fetch began.
        self._covered = 0

    async def attempt(self, head: LaneHead, last: EncodedLastState, now_ms: int, *, more: bool) -> NextEvent:
        """Make one attempt on one event. Afterwards the event has ended, or its next attempt is scheduled.

        Raises:
            LeaseLost, StoreUnavailable, StoreNotDurable: the event stays as the store has it.
        """
        self._covered = max(self._covered - 1, 0)
        attempt = Attempt(self._dependencies, self._job, head, started_at_ms=now_ms, more=more)
        try:
            return await self._process(attempt, last)
        except asyncio.CancelledError:
            await attempt.release()
            raise
        except (LeaseLost, StoreUnavailable, StoreNotDurable) as error:
            late = attempt.lose(error)
            if late is not None:
                self._late_writes.add_result(late)
            if isinstance(error, LeaseLost):
                raise LeaseLost(head.id) from error
            raise
        except Deferred as error:
            return await _defer(attempt, error)
        except (TransientError, PermanentError) as error:
            return await _fail(attempt, error)
        except TimeoutError:
            seconds = self._settings.attempt_timeout_seconds
            return await _fail(
                attempt,
                TransientError("attempt_timeout", f"no decision within {seconds} s (WAYBILL_ATTEMPT_TIMEOUT_SECONDS)"),
            )
        except Exception as error:  # noqa: BLE001 - an event must never be left without a next step
            current_logger().exception("attempt.crashed", event_id=head.id, trace_id=attempt.log.fields.get("trace_id"))
            return await _fail(
                attempt,
                TransientError(
                    "unexpected", f"{type(error).__name__} in Waybill's own code; see the log line attempt.crashed"
                ),
            )
        finally:
            attempt.log.span.end()

    async def _process(self, attempt: Attempt, last: EncodedLastState) -> NextEvent:
        head = attempt.head
        # The event probably crashes its workers. As a dead letter it no longer blocks its lane.
        if head.worker_crashes >= self._settings.crashes_max:
            raise PermanentError("worker_crashed", f"{head.worker_crashes} workers crashed during this event")
        check_head(self._keys, head)
        event = attempt.load_event()
        # A stored decision is final: neither a new rulebook nor a newer state changes it.
        if head.state == "decided":
            decided = load_decision(self._keys, head)
            if is_replayed(decided, head.ledger):
                return await self._decide_failed_rules(attempt, event, decided)
            return await self._run_effects(attempt, event, decided, head.ledger, head.places, fresh=False)
        if is_hint(self._dependencies.platforms, event.record):
            return await self._resolve(attempt, event)
        return await self._decide(attempt, event, last)

    async def _decide(self, attempt: Attempt, event: Event, encoded: EncodedLastState) -> NextEvent:
        last = load_last_state(self._keys, event.record, encoded)
        stale_reads = self._dependencies.stale_reads
        fetch_delay_seconds = stale_reads.fetch_delay_seconds(event)
        # A negative age means that the store's clock was set back: the wait would not end.
        if fetch_delay_seconds and 0 <= attempt.age_seconds < fetch_delay_seconds:
            return await attempt.wait("fetch_delay", fetch_delay_seconds - attempt.age_seconds)
        kept = self._dependencies.undecided.take(event.id)
        with start_timeout(self._settings.attempt_timeout_seconds):
            fetched = kept.fetched if kept else await self._fetch(event, attempt, fetch_delay_seconds)
        if fetched.record is not None or event.change in EXISTING:  # a deleted record is missing as expected
            found_records = self._dependencies.intake.home.found_records
            await found_records.add(event.record.platform, found=fetched.record is not None)
        stale = await stale_reads.check(event, fetched, last, attempt.head.stale_version, attempt.age_seconds)
        if stale and stale.wait_seconds:
            return await attempt.wait("stale_read", stale.wait_seconds, stale_version=stale.version)
        if stale and stale.kind == "before_last_state":
            # Rules would see a transition back that never happened.
            return await attempt.finish("stale", stale.error(last))
        policy, attempts = self._dependencies.policy, attempt.head.attempts
        event = self._with_payload(event, attempt.head)
        evaluate = partial(decide, event=event, fetched=fetched, last=last, attempt=attempts, policy=policy)
        lookups = AttemptLookups(self._dependencies, event, attempt, kept)
        with start_span("decision") as span:
            decision = await self._evaluate(partial(evaluate, stale=stale is not None), event, fetched, lookups)
            decision.entry.describe_rules(span)
            # Releases thousands of objects while they are in the CPU cache; no later step needs them.
            del evaluate, kept, lookups, fetched
            next_event = await attempt.decide(decision, event)
        if not decision.entry.effects:
            return next_event
        return await self._run_effects(
            attempt, event, decision.entry, initial_ledger(decision.entry.effects), next_event.places, fresh=True
        )

    async def _decide_failed_rules(self, attempt: Attempt, event: Event, decided: DecisionEntry) -> NextEvent:
        """Evaluate the failed rules of a replayed event again. The next attempt runs their effects."""
        platforms, kept = self._dependencies.platforms, self._dependencies.undecided.take(event.id)
        with start_timeout(self._settings.attempt_timeout_seconds):
            fetched = kept.fetched if kept else await fetch_record(platforms, event, attempt.head.attempts)
        event = self._with_payload(event, attempt.head)
        evaluate = partial(
            decide_failed_rules,
            event=event,
            fetched=fetched,
            decided=decided,
            attempt=attempt.head.attempts,
            policy=self._dependencies.policy,
        )
        lookups = AttemptLookups(self._dependencies, event, attempt, kept)
        with start_span("decision") as span:
            entry = await self._evaluate(evaluate, event, fetched, lookups)
            entry.describe_rules(span)
            return await attempt.decide_again(decided, entry, event)

    def _with_payload(self, event: Event, head: LaneHead) -> Event:
        """Return the event with its body if a rule reads it. Decompressing it is the costliest part of decoding."""
        if head.delivery is None or not self._rulebook().reads_delivery(event):
            return event
        return load_event(self._keys, head, with_body=True)

    async def _evaluate(
        self, evaluate: Callable[..., T | PendingLookups], event: Event, fetched: FetchedRecord, lookups: AttemptLookups
    ) -> T:
        """Evaluate the rules here if that takes a few milliseconds, else in a thread: the event loop is not held.

        Records that a result depends on are looked up, and the rules are evaluated again.
        """
        rulebook = self._rulebook()
        while True:
            work = rulebook.count_nodes(event) * (fetched.body_bytes + len(event.body) + lookups.body_bytes)
            seen = partial(evaluate, rulebook, lookups=Lookups(lookups.found))
            result = await run_in_thread(seen) if work > EVALUATION_WORK_MAX else seen()
            if not isinstance(result, PendingLookups):
                return result
            await lookups.run(result.requests, fetched)

    async def _fetch(self, event: Event, attempt: Attempt, fetch_delay_seconds: float) -> FetchedRecord:
        # One fetch serves the events that were in the lane before it began and whose fetch delay had passed by then.
        now = time.monotonic()
        delay_passed_at = now - (attempt.age_seconds - fetch_delay_seconds if fetch_delay_seconds else math.inf)
        if self._fetched is None or self._covered == 0 or self._fetched_at < delay_passed_at:
            self._covered, self._fetched_at = attempt.head.queued, now
            fetched = await fetch_record(self._dependencies.platforms, event, attempt.head.attempts)
            self._fetched = fetched if self._covered > 1 else None
            return fetched
        return self._fetched

    def _rulebook(self) -> Rulebook:
        rulebook = self._dependencies.rules.rulebook
        if rulebook is None:
            raise TransientError("no_rulebook", "no rulebook is active; publish one with: waybill rules apply")
        return rulebook

    async def _run_effects(
        self, attempt: Attempt, event: Event, decided: DecisionEntry, ledger: str, places: str, *, fresh: bool
    ) -> NextEvent:
        context = attempt.effect_context(event)
        run = EffectsRun(
            self._dependencies.effects, self._job, context, decided.effects, ledger, history=attempt.head.history
        )
        attempt.start_effects(run, decided.effects, event.record.lane)
        outcome = await run.run(fresh=fresh, places=places)
        attempt.add_effects(run)
        error = outcome.error
        if outcome.is_behind and (error is None or isinstance(error, PermanentError)):
            return await attempt.wait_behind()
        if error is None and decided.failed_rules:
            return await attempt.dead_letter(rule_error(decided))
        if error is None:
            return await attempt.finish(decided.outcome, decided.error)
        # A limit or an open circuit uses up no attempt, but the age of the event still counts.
        exhausted = attempt.is_exhausted(
            counts=not outcome.is_deferred, retry_for_seconds=outcome.retry_for_seconds or None
        )
        if not outcome.has_deferred or exhausted:
            return await attempt.dead_letter(error)
        if isinstance(error, Deferred):
            return await attempt.wait(error.kind, outcome.deferred_seconds, error)
        return await attempt.retry(error, max(outcome.retry_after_seconds or 0, outcome.deferred_seconds))

    async def _resolve(self, attempt: Attempt, event: Event) -> NextEvent:
        """Ingest one derived event for each record that a hint leads to, then end the hint."""
        with start_timeout(self._settings.attempt_timeout_seconds):
            refs = await follow_hint(self._dependencies.platforms, event, attempt.head.attempts)
        # Only hints need the body, and decompressing it is the most expensive part of decoding an event.
        event_with_body = load_event(self._keys, attempt.head, with_body=True)
        derived = [derived_event(event_with_body, ref, self._settings) for ref in refs]
        if derived:
            # Before the hint ends: after a crash in between, the derived events get the same ids and are duplicates.
            await self._dependencies.intake.ingest_all(derived)
        attempt.log.fields["records"] = len(derived)
        return await attempt.finish("resolved" if derived else "ignored")


async def _defer(attempt: Attempt, error: Deferred) -> NextEvent:
    """Wait for a rate limit or an open circuit, unless the event has reached its maximum age."""
    if attempt.is_exhausted(counts=False):
        return await _fail(attempt, error)
    return await attempt.wait(error.kind, error.seconds, error)


async def _fail(attempt: Attempt, error: TransientError | PermanentError | Deferred) -> NextEvent:
    if isinstance(error, PermanentError) or attempt.is_exhausted():
        return await attempt.dead_letter(error)
    return await attempt.retry(error, getattr(error, "retry_after_seconds", None))
